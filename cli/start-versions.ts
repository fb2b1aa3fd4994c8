import { createHash } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import {
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Fault } from '../protocol/faults.ts';
import { runProgram, settle, writeFileOnce } from './start-system.ts';

/** Versions of the agent side by side, below a root: `versions/<name>`, and `current`, which names one of them. */
export const VERSIONS_FOLDER = 'opt/mesq';
export const CURRENT_PROGRAM = '/opt/mesq/current/bin/mesq';

/** A version that is in place. */
export interface Version {
  /** Of its folder: the version, and a digest of what is in it. */
  readonly name: string;
  readonly version: string;
}

/** The folder that this program was started from: `build/cli/main.js` below it, and `bin/node` where it brings its own. */
export async function ownPackage(): Promise<string> {
  return dirname(dirname(dirname(await realpath(process.argv[1] ?? ''))));
}

/**
 * Puts a version beside the others, as hard links where that can be: whoever replaces the package's files leaves these
 * alone. Nothing is changed where it is there already, or does not run. Faults: BAD_USAGE, UNSUPPORTED.
 */
export async function stageVersion(root: string, from: string): Promise<Version | Fault> {
  const scripts = await readdir(join(from, 'build/cli')).catch(() => []);
  const files = scripts.filter((name) => name === 'main.js' || /^chunk-.*\.js$/.test(name)).sort();
  const about = await readFile(join(from, 'package.json'), 'utf8').catch(() => undefined);
  if (!files.includes('main.js') || about === undefined)
    return new Fault('BAD_USAGE', `${from} holds no mesq: there is no build/cli/main.js and package.json in it`);
  const { version } = JSON.parse(about) as { version: string };
  const ownNode = await stat(join(from, 'bin/node')).catch(() => undefined);
  const digest = createHash('sha256').update(`${about}\0${ownNode?.size ?? process.execPath}`);
  for (const file of files) digest.update(`\0${file}\0`).update(await readFile(join(from, 'build/cli', file)));
  const name = `${version}-${digest.digest('hex').slice(0, 8)}`;
  const target = join(root, VERSIONS_FOLDER, 'versions', name);
  const linked = from.startsWith(join(root, 'usr/lib/'));
  if (!existsSync(target)) {
    const making = `${target}.new`;
    await rm(making, { recursive: true, force: true });
    await mkdir(join(making, 'build/cli'), { recursive: true, mode: 0o755 });
    await mkdir(join(making, 'bin'), { mode: 0o755 });
    for (const file of files) await take(join(from, 'build/cli', file), join(making, 'build/cli', file), linked);
    await take(join(from, 'package.json'), join(making, 'package.json'), linked);
    if (ownNode !== undefined) await take(join(from, 'bin/node'), join(making, 'bin/node'), linked);
    await writeFileOnce(
      join(making, 'bin/mesq'),
      programText(ownNode === undefined ? process.execPath : undefined),
      0o755,
    );
    // A name that is on the disk before the bytes would be a version that never runs.
    for (const name of await readdir(making, { recursive: true })) await settle(join(making, name));
    await settle(making);
    await rename(making, target);
    await settle(dirname(target));
  }
  const { code, stdout, stderr } = await runProgram(join(target, 'bin/mesq'), ['--version']);
  if (code === 0 && stdout.trim() === version) return { name, version };
  await rm(target, { recursive: true, force: true });
  return new Fault(
    'UNSUPPORTED',
    `version ${version} does not run on this machine: ${(stderr || stdout).trim().split('\n').slice(-1)[0] ?? ''}`,
    'Nothing was changed. docs/install.md names the systems that a package is for.',
  );
}

/** The program of a version, found through any link to it; `node`: another than its own. */
export function programText(node: string | undefined): string {
  const own = '"$here/bin/node"';
  return `#!/bin/sh
here=$(dirname "$(dirname "$(readlink -f "$0")")")
exec ${node === undefined ? own : `'${node.replaceAll("'", `'\\''`)}'`} "$here/build/cli/main.js" "$@"
`;
}

/** The version that the service is started with; undefined where there is none. */
export async function currentVersion(root: string): Promise<Version | undefined> {
  const target = await readlink(join(root, VERSIONS_FOLDER, 'current')).catch(() => undefined);
  if (target === undefined) return undefined;
  const name = basename(target);
  const about = await readFile(join(root, VERSIONS_FOLDER, 'versions', name, 'package.json'), 'utf8').catch(() => '{}');
  return { name, version: (JSON.parse(about) as { version?: string }).version ?? name };
}

/** From now on the service starts with that version: before or after a power cut, and never with none. */
export async function switchTo(root: string, name: string): Promise<void> {
  const current = join(root, VERSIONS_FOLDER, 'current');
  await rm(`${current}.new`, { force: true });
  await symlink(join('versions', name), `${current}.new`);
  await rename(`${current}.new`, current);
  await settle(dirname(current));
}

/** Removes all versions but these. */
export async function keepVersions(root: string, names: readonly string[]): Promise<void> {
  const folder = join(root, VERSIONS_FOLDER, 'versions');
  for (const name of await readdir(folder).catch(() => []))
    if (!names.includes(name)) await rm(join(folder, name), { recursive: true, force: true });
}

/** A package manager writes new files beside the old ones, and never into them: a link costs nothing and keeps the old. */
async function take(from: string, to: string, linked: boolean): Promise<void> {
  try {
    if (linked) return await link(from, to);
  } catch {
    // Another file system.
  }
  await copyFile(from, to, constants.COPYFILE_FICLONE);
}
