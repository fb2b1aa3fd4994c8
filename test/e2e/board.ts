import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Cluster, copyMachine, type Ended, MESQ, type Running, start } from './cluster.ts';

/** A folder that stands for a machine with systemd, and `mesq agent` verbs upon it. */
export class Board {
  readonly root: string;
  readonly #environment: NodeJS.ProcessEnv;

  private constructor(root: string, environment: NodeJS.ProcessEnv) {
    this.root = root;
    this.#environment = environment;
  }

  static async make(cluster: Cluster, name: string): Promise<Board> {
    const root = join(cluster.folder, name);
    await mkdir(join(root, 'run/systemd/system'), { recursive: true });
    await mkdir(join(root, 'bin'));
    await copyMachine(join(root, 'machine'), { machine: createHash('md5').update(name).digest('hex') });
    const systemctl = resolve('build/test/e2e/stand-in-systemctl.js');
    await writeFile(join(root, 'bin/systemctl'), `#!/bin/sh\nexec ${process.execPath} ${systemctl} ${root} "$@"\n`);
    await chmod(join(root, 'bin/systemctl'), 0o755);
    return new Board(root, { PATH: `${join(root, 'bin')}:${process.env['PATH']}` });
  }

  path(path: string): string {
    return join(this.root, path);
  }

  /** `mesq agent WORD… --root`, with a token in its environment. */
  agent(argv: readonly string[], token?: string): Running {
    const [verb = '', ...rest] = argv;
    return start(process.execPath, [MESQ, 'agent', verb, '--root', this.root, ...rest], {
      ...this.#environment,
      MESQ_TOKEN: token,
    });
  }

  run(argv: readonly string[], token?: string): Promise<Ended> {
    return this.agent(argv, token).ended;
  }

  journal(): Promise<string> {
    return readFile(this.path('journal'), 'utf8').catch(() => '');
  }
}

/** What was built, as another version; `main`: instead of its program. */
export async function otherVersion(folder: string, version: string, main?: string): Promise<string> {
  await mkdir(join(folder, 'build/cli'), { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'mesquite', version, type: 'module' }));
  for (const name of await readdir('build/cli'))
    if (/^(main|chunk-.*)\.js$/.test(name)) await copyFile(join('build/cli', name), join(folder, 'build/cli', name));
  if (main !== undefined) await writeFile(join(folder, 'build/cli/main.js'), main);
  return folder;
}
