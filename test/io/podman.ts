import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ContainerEngine, EngineError } from '../../io/containers.ts';
import { dockerSocket } from '../../io/node/docker-socket.ts';

const run = promisify(execFile);
const PROGRAMS = ['sh', 'cat', 'sleep', 'printf', 'env', 'id', 'dd', 'seq', 'tail', 'true', 'ls'];

/** A Podman of the test's own: storage, socket, and one image made of busybox. */
export interface OwnPodman {
  readonly engine: ContainerEngine;
  readonly socket: string;
  readonly folder: string;
  readonly image: string;
  /** With which `podman` is this one. */
  readonly environment: NodeJS.ProcessEnv;
  /** Tar files of which an image can be made: the programs, and some bytes that hardly compress. */
  layers(): Promise<Buffer[]>;
  /** From now on images may come from there without TLS. */
  trust(address: string): Promise<void>;
  /** Ends the service, as a crash would: containers go on. */
  endService(): Promise<void>;
  startService(): Promise<void>;
  podman(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Why there is none here; undefined where there is. */
export function podmanMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root runs it here';
  const missing = ['podman', 'runc', 'busybox'].filter((name) => !isProgram(name));
  return missing.length === 0 ? undefined : `no ${missing.join(', no ')} on this machine`;
}

function isProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export async function startPodman(): Promise<OwnPodman> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-podman-'));
  const socket = join(folder, 'socket');
  // Without CAP_SYS_RESOURCE the defaults cannot be set, and runc is what knows control groups of both versions.
  await writeFile(
    join(folder, 'containers.conf'),
    '[containers]\ndefault_ulimits = ["nofile=1024:1024","nproc=1024:1024"]\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[network]\nnetwork_backend = "netavark"\n',
  );
  await writeFile(
    join(folder, 'storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${folder}/graph"\nrunroot = "${folder}/run"\n`,
  );
  await writeFile(join(folder, 'registries.conf'), '');
  const env = {
    ...process.env,
    CONTAINERS_CONF: join(folder, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(folder, 'storage.conf'),
    CONTAINERS_REGISTRIES_CONF: join(folder, 'registries.conf'),
  };
  const podman = async (...args: readonly string[]): Promise<string> => (await run('podman', args, { env })).stdout;
  let ended: Promise<unknown> = Promise.resolve();
  let kill: () => void = () => undefined;
  const engine = dockerSocket(socket);
  const startService = async (): Promise<void> => {
    const service = spawn('podman', ['system', 'service', '--time', '0', `unix://${socket}`], {
      env,
      // Podman 4.3's monitor writes its word on memory into the folder that the service was started in.
      cwd: folder,
      stdio: 'ignore',
    });
    ended = new Promise((resolve) => service.once('exit', resolve));
    kill = () => service.kill('SIGKILL');
    await answering(engine, ended);
  };
  const image = 'localhost/mesq-busybox:latest';
  await podman('import', await rootfs(folder), image);
  await startService();
  return {
    engine,
    socket,
    folder,
    image,
    environment: env,
    layers: async () => {
      await mkdir(join(folder, 'more'));
      await writeFile(join(folder, 'more/ballast'), randomBytes(3_000_000));
      await run('tar', ['-C', join(folder, 'more'), '-cf', join(folder, 'more.tar'), '.']);
      return Promise.all(['image.tar', 'more.tar'].map((name) => readFile(join(folder, name))));
    },
    trust: async (address) => {
      await writeFile(join(folder, 'registries.conf'), `[[registry]]\nlocation = "${address}"\ninsecure = true\n`);
      kill();
      await ended;
      await startService();
    },
    podman,
    startService,
    endService: async () => {
      kill();
      await ended;
    },
    stop: async () => {
      await podman('rm', '--all', '--force', '--time', '0').catch(() => undefined);
      kill();
      await ended;
      // What each container's monitor starts to clean up after it may still be writing there.
      await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

async function rootfs(folder: string): Promise<string> {
  const root = join(folder, 'rootfs');
  await mkdir(join(root, 'bin'), { recursive: true });
  await mkdir(join(root, 'tmp'));
  const { stdout } = await run('sh', ['-c', 'command -v busybox']);
  await copyFile(stdout.trim(), join(root, 'bin/busybox'));
  await chmod(join(root, 'bin/busybox'), 0o755);
  for (const name of PROGRAMS) await symlink('busybox', join(root, 'bin', name));
  await run('tar', ['-C', root, '-cf', join(folder, 'image.tar'), '.']);
  return join(folder, 'image.tar');
}

async function answering(engine: ContainerEngine, ended: Promise<unknown>): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for (;;) {
    try {
      await engine.version();
      return;
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== 'UNAVAILABLE' || over) throw error;
      // Asked again when the loop has turned: a connection that is refused takes a turn or two.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
