import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LauncherError } from '../launcher.ts';

const run = promisify(execFile);

/**
 * What of the machine a task may have for itself (namespaces(7)). Not its process numbers: the first process of such a
 * namespace is not ended by signals that it does not handle, and SIGTERM would end no plain program.
 */
export const NAMESPACES = ['mount', 'ipc', 'uts', 'net'] as const;
export type Namespace = (typeof NAMESPACES)[number];

/** In every /dev; whoever has a terminal finds it. */
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

/**
 * Executed in the sandbox, with the paths of devices below /dev as its first arguments, `--` and the program: an own /tmp
 * on disk beside the sandbox, and a /dev with nothing but its devices.
 */
const PRIVATE_MOUNTS = `set -eu
tmp=$PWD/../tmp dev=$PWD/../dev
mkdir -p "$tmp" "$dev"
chmod 1777 "$tmp"
mount -t tmpfs -o mode=0755,size=4m,nosuid dev "$dev"
list=
while [ "$1" != -- ]; do
  [ ! -e "/dev/$1" ] || list="$list $1"
  shift
done
shift
(cd /dev && cp -a --parents $list "$dev")
ln -s /proc/self/fd "$dev/fd"
for name in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/\${name#*:}" "$dev/\${name%:*}"; done
ln -s pts/ptmx "$dev/ptmx"
mkdir "$dev/shm" "$dev/pts"
chmod 1777 "$dev/shm"
mount --bind /dev/pts "$dev/pts"
mount --move "$dev" /dev
mount --bind "$tmp" /tmp
exec "$@"`;

/**
 * The beginning of a command line that gives the rest of it namespaces of its own, by unshare(1). Takes root.
 *
 * @param devices paths below /dev, the only ones of the machine's that it then finds; with `mount` alone
 */
export function inNamespaces(kinds: readonly Namespace[], devices: readonly string[]): string[] {
  if (kinds.length === 0) return [];
  const unshare = ['unshare', ...kinds.map((kind) => `--${kind}`), '--'];
  if (!kinds.includes('mount')) return unshare;
  // Split by the shell: a path with anything unusual in it is no device's.
  const own = devices.map((path) => path.replace(/^\/dev\//, '')).filter((path) => /^[A-Za-z0-9_.:+/-]+$/.test(path));
  return [...unshare, '/bin/sh', '-c', PRIVATE_MOUNTS, 'sh', ...DEVICES, ...own, '--'];
}

/** The beginning of a command line that executes the rest in the namespaces of process `pid`, in `folder`: by nsenter(1). */
export function joinNamespaces(kinds: readonly string[], pid: number, folder: string): string[] {
  if (kinds.length === 0) return [];
  return ['nsenter', `--target=${pid}`, ...kinds.map((kind) => `--${kind}`), `--wd=${folder}`, '--'];
}

/**
 * Makes them once, in `folder` (made where it is missing). Rejects with a LauncherError `UNAVAILABLE` where it cannot:
 * not root, no unshare(1) of util-linux, a kernel or a service manager that forbids it.
 */
export async function checkNamespaces(kinds: readonly Namespace[], folder: string): Promise<void> {
  const [program, ...rest] = inNamespaces(kinds, []);
  if (program === undefined) return;
  await run(program, [...rest, '/bin/true'], { cwd: folder }).catch((error: Error & { stderr?: string }) => {
    const why = error.stderr?.trim() || error.message;
    throw new LauncherError('UNAVAILABLE', `tasks cannot have their own ${kinds.join(', ')}: ${why}`, error);
  });
}
