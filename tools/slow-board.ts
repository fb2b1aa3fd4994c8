import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

/** Debian's user-mode-linux: a kernel in a process of this machine, about as fast as a small board. */
const KERNEL = 'linux';
const MODULES = '/usr/lib/uml/modules';
/** Of the guest's kernel: what delays, thins and loses packets, and what lets it do so with those that arrive. */
const LINK_MODULES = [
  'drivers/net/ifb',
  'net/sched/sch_netem',
  'net/sched/sch_ingress',
  'net/sched/act_mirred',
  'net/sched/cls_matchall',
];
const MEMORY = '512M';
/** A board that nobody unplugs, for who should have was killed, switches itself off. */
const LIFE_SECONDS = 900;

/** A link, alike in both directions. */
export interface LinkQuality {
  readonly oneWayMs: number;
  /** Of packets, each by itself: 2 loses one in fifty. */
  readonly lossPercent: number;
  readonly kbitPerSecond: number;
}

/** The link that the issue of slow boards names. */
export const BAD_LINK: LinkQuality = { oneWayMs: 150, lossPercent: 2, kbitPerSecond: 256 };

/** This machine's end of a cable that a guest can be at. */
export interface GuestCable {
  readonly device: string;
  readonly address: string;
  readonly guestAddress: string;
  /** Nothing crosses any more, and neither end is told. */
  cut(): void;
  mend(): void;
  remove(): void;
}

/** A machine with a kernel of its own: this one's files, read-only, and memory for what is written. */
export interface SlowBoard {
  /** All that its console has shown. */
  said(): string;
  /** Resolves once its console matches; rejects where it halts before. */
  heard(pattern: RegExp): Promise<RegExpExecArray>;
  /** Pulls its plug. */
  end(): Promise<void>;
}

export interface BoardOptions {
  readonly cable: GuestCable;
  readonly link: LinkQuality;
  /** Lines of shell that it runs when its link is up; `/run` alone is writable. */
  readonly run: string;
}

/** What is not there that a slow board takes; undefined where it can be had. */
export function slowBoardMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root lays its cable';
  const missing = [KERNEL, 'busybox', 'ip', 'tc', 'iptables'].filter((name) => findProgram(name) === undefined);
  if (!existsSync('/dev/net/tun')) missing.push('/dev/net/tun');
  if (modulesOf('net/sched/sch_netem') === undefined) missing.push('sch_netem of user-mode-linux');
  return missing.length === 0 ? undefined : `no ${missing.join(', no ')} here`;
}

/** Lays a cable of a network of its own; throws where that is not allowed. */
export function layGuestCable(): GuestCable {
  const device = `mesqt${process.pid % 100_000}`;
  const network = `10.214.${process.pid % 256}`;
  const ip = (...argv: readonly string[]): void => runTool('ip', argv);
  // The device itself stays up: the guest's driver does not come back from one that was down.
  let isCut = false;
  const drop = (rule: '-I' | '-D'): void => {
    if (isCut === (rule === '-I')) return;
    for (const way of [
      ['INPUT', '-i'],
      ['OUTPUT', '-o'],
    ])
      runTool('iptables', ['-w', rule, ...way, device, '-j', 'DROP']);
    isCut = !isCut;
  };
  ip('tuntap', 'add', 'dev', device, 'mode', 'tap');
  const cable: GuestCable = {
    device,
    address: `${network}.1`,
    guestAddress: `${network}.2`,
    cut: () => drop('-I'),
    mend: () => drop('-D'),
    remove: () => {
      drop('-D');
      ip('link', 'del', device);
    },
  };
  try {
    ip('address', 'add', `${cable.address}/30`, 'dev', device);
    ip('link', 'set', device, 'up');
  } catch (error) {
    cable.remove();
    throw error;
  }
  return cable;
}

function runTool(program: string, argv: readonly string[]): void {
  const { status, stderr } = spawnSync(program, argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')}: ${stderr}`);
}

/** Switches a board on. What it is to reach must be below its cable's address already. */
export function bootBoard({ cable, link, run }: BoardOptions): SlowBoard {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-board-'));
  writeFileSync(join(folder, 'init'), initOf(cable, link, run), { mode: 0o700 });
  const guest = spawn(
    KERNEL,
    [
      ...[`mem=${MEMORY}`, 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${join(folder, 'init')}`],
      ...['con=null', 'con0=null,fd:1', 'quiet', `uml_dir=${folder}`, 'umid=guest'],
      `vec0:transport=tap,ifname=${cable.device},depth=128,gro=0`,
    ],
    // In a session of its own: what the kernel sends to stopped jobs of an orphaned group would wake its processes.
    { stdio: ['ignore', 'pipe', 'ignore'], detached: true, cwd: folder },
  );
  const unplug = (): void => {
    if (guest.pid !== undefined) killGroup(guest.pid);
  };
  process.once('exit', unplug);
  let text = '';
  let halted = false;
  const waiting = new Set<() => void>();
  const ended = new Promise<void>((resolve) => {
    createInterface(guest.stdout)
      .on('line', (line) => {
        text += `${line.trimEnd()}\n`;
        for (const look of waiting) look();
      })
      .on('close', () => {
        halted = true;
        for (const look of waiting) look();
        resolve();
      });
  });
  return {
    said: () => text,
    heard: (pattern) =>
      new Promise((found, lost) => {
        const look = (): void => {
          const match = pattern.exec(text);
          if (match === null && !halted) return;
          waiting.delete(look);
          if (match === null) lost(new Error(`the board halted and never said ${pattern}: ${text.slice(-2_000)}`));
          else found(match);
        };
        waiting.add(look);
        look();
      }),
    end: async () => {
      unplug();
      await ended;
      process.removeListener('exit', unplug);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** What is sent passes netem on its way out; what arrives passes another one, behind a device made for that. */
function initOf({ address, guestAddress }: GuestCable, link: LinkQuality, run: string): string {
  const netem = `netem delay ${link.oneWayMs}ms loss ${link.lossPercent}% rate ${link.kbitPerSecond}kbit`;
  return `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run LANG=C NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
exec 2>&1
set -e
for module in ${LINK_MODULES.join(' ')}; do busybox insmod ${MODULES}/$(uname -r)/kernel/$module.ko; done
ip link set lo up
ip address add ${guestAddress}/30 dev vec0
ip link set vec0 up
ip link set ifb0 up
tc qdisc add dev vec0 root ${netem}
tc qdisc add dev vec0 ingress
tc filter add dev vec0 parent ffff: matchall action mirred egress redirect dev ifb0
tc qdisc add dev ifb0 root ${netem}
echo "board of kernel $(uname -r) at ${guestAddress}, this way to ${address}"
set +e
(sleep ${LIFE_SECONDS}; busybox poweroff -f) &
${run}
busybox poweroff -f
`;
}

function modulesOf(name: string): string | undefined {
  if (!existsSync(MODULES)) return undefined;
  return readdirSync(MODULES)
    .map((release) => join(MODULES, release, 'kernel', `${name}.ko`))
    .find((path) => existsSync(path));
}

function findProgram(program: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The kernel and all processes of its guest, which are processes here. */
function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It had powered itself off.
  }
}

/** A word as a shell takes it, whatever is in it. */
export function shellWord(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
