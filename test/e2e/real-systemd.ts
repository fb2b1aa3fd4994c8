import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ended, eventually, start } from './cluster.ts';

const SYSTEMD = '/lib/systemd/systemd';

/** Arguments: a folder for mounts, then folders that are to be seen inside. */
const BOOT = `set -e
mount --make-rprivate /
layers=$1; shift
mount -t tmpfs tmpfs "$layers"
root=$layers/root
mkdir "$layers/upper" "$layers/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
umount -R "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
for folder; do mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; done
# What a machine does when it starts is not for this one: its kernel is everybody's.
: >"$root/etc/fstab"
for wants in system-generators system/sysinit.target.wants system/local-fs.target.wants system/sockets.target.wants; do
  for above in usr/lib etc; do
    [ ! -d "$root/$above/systemd/$wants" ] || mount -t tmpfs tmpfs "$root/$above/systemd/$wants"
  done
done
mkdir -p "$root/etc/systemd/system"
printf '[Unit]\\nDescription=Nothing but systemd\\n' >"$root/etc/systemd/system/bare.target"
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" ${SYSTEMD} --system --unit=bare.target --show-status=no
`;

/**
 * A real systemd as the first process of namespaces of its own, on a copy-on-write view of this machine, with its network.
 * Needs root, and a kernel that lets it mount.
 */
export class RealSystemd {
  readonly #unshare: ChildProcess;
  readonly #pid: number;

  private constructor(unshare: ChildProcess, pid: number) {
    this.#unshare = unshare;
    this.#pid = pid;
  }

  /** An error says why there can be none here. `visible`: folders that are the same inside. */
  static async boot(folder: string, visible: readonly string[]): Promise<RealSystemd | Error> {
    if (process.getuid?.() !== 0) return new Error('namespaces for systemd need root');
    if (!existsSync(SYSTEMD)) return new Error('systemd is not here');
    const layers = join(folder, 'layers');
    await mkdir(layers);
    const spaces = ['--mount', '--pid', '--uts', '--ipc', '--cgroup', '--fork', '--kill-child'];
    const unshare = spawn('unshare', [...spaces, 'sh', '-c', BOOT, 'sh', layers, ...visible], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [unshare.stdout, unshare.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    const ended = new Promise<Error>((resolve) => {
      unshare.once('error', resolve);
      unshare.once('exit', () => resolve(new Error(`systemd did not boot: ${said.trim()}`)));
    });
    const booted = eventually(async () => {
      if (unshare.exitCode !== null || unshare.pid === undefined) return new Error('it ended');
      const children = await readFile(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8').catch(() => '');
      const pid = Number(children.trim().split(' ')[0]);
      if (!(pid > 0)) return undefined;
      const found = new RealSystemd(unshare, pid);
      return (await found.run('systemctl', 'is-system-running')).stdout.startsWith('running') ? found : undefined;
    });
    return Promise.race([booted, ended]);
  }

  /** A command inside, to its end. */
  run(program: string, ...argv: readonly string[]): Promise<Ended> {
    const root = `/proc/${this.#pid}/root`;
    const into = ['-t', String(this.#pid), '-m', '-p', '-u', '-i', '-C', `--root=${root}`, `--wd=${root}`];
    return start('nsenter', [...into, program, ...argv]).ended;
  }

  /** Everything inside ends with its first process. */
  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#unshare.once('exit', resolve));
    process.kill(this.#pid, 'SIGKILL');
    await gone;
  }
}
