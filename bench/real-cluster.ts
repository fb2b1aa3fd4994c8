import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { withDescendants } from './process-memory.ts';

/** The bundled command line, as it is shipped. */
export const MESQ = fileURLToPath(new URL('../cli/main.js', import.meta.url));

/** One `mesq master` or `mesq agent` as a process of its own. */
export interface Part {
  readonly pid: number;
  readonly data: string;
  /** The end of what it wrote to standard error, for failures. */
  lastWords(): string;
  stop(): Promise<void>;
  /** SIGKILL to it alone: what an agent has started lives on. */
  kill(): Promise<void>;
}

/** A part that prints where it listens. */
export interface MasterPart extends Part {
  readonly url: string;
}

/** A folder below `parent` for the data of everything that one measurement starts. */
export function benchFolder(parent: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(parent, 'mesq-bench-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }) };
}

/** Starts a master on a free port of this machine. `nodeOptions` go before the script. */
export async function startMasterPart(
  folder: string,
  { advertise, nodeOptions = [] }: { advertise?: string; nodeOptions?: readonly string[] } = {},
): Promise<MasterPart> {
  const data = join(folder, 'm1');
  const where = ['--listen', 'mqtt://127.0.0.1:0', ...(advertise === undefined ? [] : ['--advertise', advertise])];
  const { part, heard } = start([...nodeOptions, MESQ, 'master', '--id', 'm1', '--data', data, ...where], data);
  const [, url = ''] = await heard('stdout', /listening (mqtt:\S+)/);
  return { ...part, url };
}

/** Starts an agent; resolves when it is registered. Its resources are exactly those named, and no ports. */
export async function startAgentPart(
  folder: string,
  name: string,
  url: string,
  resources: string,
  nodeOptions: readonly string[] = [],
): Promise<Part> {
  const { part, heard } = launchAgent(folder, name, url, resources, { nodeOptions });
  await heard('stderr', /registered|resumed/);
  return part;
}

/** The same, without waiting for anything. `options` are of `mesq agent`. */
export function spawnAgentPart(
  folder: string,
  name: string,
  url: string,
  resources: string,
  options: readonly string[] = [],
): Part {
  return launchAgent(folder, name, url, resources, { options }).part;
}

function launchAgent(
  folder: string,
  name: string,
  url: string,
  resources: string,
  { nodeOptions = [], options = [] }: { nodeOptions?: readonly string[]; options?: readonly string[] },
) {
  const data = join(folder, name);
  const what = ['--name', name, '--data', data, '--master', url, '--resources', resources, ...options];
  return start([...nodeOptions, MESQ, 'agent', ...what], data);
}

type Source = 'stdout' | 'stderr';

/** A measurement that fails, or is interrupted, leaves nothing running; launchers outlive their agents. */
const started = new Map<ChildProcess, string>();
process.once('exit', () => {
  for (const [child, data] of started) {
    child.kill('SIGKILL');
    const launcher = launcherPid({ data });
    if (launcher !== undefined) signal(launcher, 'SIGKILL');
  }
});
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1));

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** Any `mesq` process of ours; `prefix` goes before node. Killed when the bench ends. */
export function start(argv: readonly string[], data: string, prefix: readonly string[] = [], node = process.execPath) {
  const log = `${data}.log`;
  const descriptor = openSync(log, 'w');
  const [program = '', ...rest] = [...prefix, node, ...argv];
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', descriptor] });
  closeSync(descriptor);
  started.set(child, data);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const read = (source: Source): string => (source === 'stdout' ? said : readFileSync(log, 'utf8'));
  const part: Part = {
    pid: child.pid ?? 0,
    data,
    lastWords: () => read('stderr').slice(-2_000),
    stop: () => stop(child, ended),
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
      started.delete(child);
    },
  };
  const heard = async (source: Source, pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(read(source));
      if (found !== null) return found;
      if (child.exitCode !== null) throw new Error(`${argv.join(' ')} ended: ${part.lastWords()}`);
      await pause(20);
    }
  };
  return { part, heard };
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
  started.delete(child);
}

/** Ends the launcher process that an agent leaves behind on purpose: it is the bench that has no more use for it. */
export async function endLauncher(agent: Part): Promise<void> {
  const pid = launcherPid(agent);
  if (pid === undefined) return;
  signal(pid, 'SIGTERM');
  while (signal(pid, 0)) await pause(5);
}

/** As where the power goes: SIGKILL for an agent, its launcher and all that runs below; resolves when nothing is left. */
export async function cutPower(agent: Part): Promise<void> {
  const launcher = launcherPid(agent);
  const left = launcher === undefined ? [] : [...withDescendants([launcher])];
  await agent.kill();
  for (const pid of left) signal(pid, 'SIGKILL');
  while (left.some((pid) => signal(pid, 0))) await pause(5);
}

/** The bash process that starts an agent's tasks; undefined where there is none. */
export function launcherPid({ data }: Pick<Part, 'data'>): number | undefined {
  try {
    return Number(readFileSync(join(data, 'launcher/launcher.pid'), 'utf8').split(' ')[0]);
  } catch {
    return undefined;
  }
}
