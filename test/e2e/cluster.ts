import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ExecutionContext } from 'ava';
import { mergeTasks } from '../../cli/task-list.ts';
import type { TaskView } from '../../protocol/job.ts';
import { isTerminal } from '../../protocol/task.ts';
import { type Client, Fault } from '../../sdk/index.ts';
import { connectClient } from '../../tools/cluster.ts';
import { removeCgroups } from '../left-cgroups.ts';
import { quietPort } from '../quiet-port.ts';

/** The built command line, a script for node. */
export const MESQ = resolve('build/cli/main.js');
/** Between two looks at something that has no event of its own; a test that waits in vain ends by AVA's time-out. */
const LOOK_MS = 50;

/** A process of `mesq` that runs: what it has written so far, and its end. */
export interface Running {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
  /** Resolves once what it wrote (both streams) matches; rejects if it ends before. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** Sends a signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Ended>;
}

export interface Ended {
  /** Exit code, or 128 + signal's number as a shell has it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AgentOptions {
  readonly resources?: string;
  /** A copy of what is asked of /proc, /sys and /etc, to be another machine, or the same one after a reboot. */
  readonly sysroot?: string;
  /** Default: a folder of its own below the cluster's, named after it. */
  readonly data?: string;
  /** Default: the master's URL. */
  readonly url?: string;
  readonly more?: readonly string[];
}

const SIGNALS: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15, SIGHUP: 1 };

/** Starts any program with the output kept. */
/** Nothing of the person who runs the tests: neither the cluster they use, nor the file that says so, which mesq up writes. */
const OF_NOBODY = {
  MESQ_URL: undefined,
  MESQ_TOKEN: undefined,
  XDG_CONFIG_HOME: join(tmpdir(), `mesq-config-of-nobody-${process.pid}`),
};

export function start(program: string, argv: readonly string[], environment: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(program, argv, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...OF_NOBODY, NO_COLOR: '1', ...environment },
  });
  const written = { stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      written[stream] += text;
      for (const look of waiting) look();
    });
  }
  const ended = once(child, 'close').then(([code, signal]: unknown[]): Ended => {
    const number = typeof code === 'number' ? code : 128 + (SIGNALS[signal as NodeJS.Signals] ?? 0);
    return { code: number, ...written };
  });
  return {
    process: child,
    pid: child.pid ?? 0,
    ended,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    said: (pattern) =>
      new Promise((found, lost) => {
        const look = (): void => {
          const match = pattern.exec(written.stdout) ?? pattern.exec(written.stderr);
          if (match === null) return;
          waiting.delete(look);
          found(match);
        };
        waiting.add(look);
        look();
        void ended.then(() => lost(new Error(`it ended and never said ${pattern}: ${JSON.stringify(ends(written))}`)));
      }),
    end: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
}

/** What was written last, as much as one wants to read in a report. */
function ends({ stdout, stderr }: { stdout: string; stderr: string }): object {
  return { stdout: stdout.slice(-500), stderr: stderr.slice(-2_000) };
}

/** Looks until there is something: for what tells nobody when it happens. */
export async function eventually<Value>(look: () => Promise<Value | undefined> | Value | undefined): Promise<Value> {
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    await new Promise((again) => setTimeout(again, LOOK_MS));
  }
}

/** One master and its agents, each a process of the built command line, all gone when the test ends. */
export class Cluster {
  readonly folder: string;
  url = '';
  master: Running | undefined;
  readonly agents = new Map<string, Running>();
  readonly #options = new Map<string, AgentOptions>();
  #connection: ReturnType<typeof connectClient> | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Starts the master and waits until the agents have joined. */
  static async start(
    t: ExecutionContext,
    agents: Readonly<Record<string, AgentOptions>> = { a1: {} },
  ): Promise<Cluster> {
    const cluster = new Cluster(await mkdtemp(join(tmpdir(), 'mesq-e2e-')));
    t.teardown(() => cluster.#clean());
    await cluster.startMaster();
    await Promise.all(Object.entries(agents).map(([name, options]) => cluster.startAgent(name, options)));
    return cluster;
  }

  /** On the same port ever after. */
  async startMaster(more: readonly string[] = []): Promise<void> {
    const listen = this.url === '' ? `mqtt://127.0.0.1:${await quietPort()}` : this.url;
    const argv = [
      'master',
      '--id',
      'm1',
      '--data',
      join(this.folder, 'm1'),
      '--listen',
      listen,
      '--http',
      '127.0.0.1:0',
    ];
    this.master = this.spawn([...argv, '--log', 'debug', ...more]);
    const [, url = ''] = await this.master.said(/listening (mqtt:\S+)/);
    this.url = url;
    await this.master.said(/leading/);
  }

  /** Starts an agent and waits until it is active. */
  async startAgent(name: string, options: AgentOptions = this.#options.get(name) ?? {}): Promise<Running> {
    const agent = this.spawnAgent(name, options);
    await this.active(name);
    return agent;
  }

  /** Waits until the agent is active; rejects where its process ends. */
  async active(name: string): Promise<void> {
    const client = await this.client();
    await eventually(async () => {
      const agent = this.agents.get(name);
      if (agent?.process.exitCode !== null) throw new Error(`agent ${name} ended: ${agent?.stderr()}`);
      const answer = await client.request('agents', {});
      if (answer instanceof Fault) return undefined;
      return answer.agents.some((one) => one.name === name && one.state === 'active') || undefined;
    });
  }

  /** A client in this process, to look with often: it comes back by itself when a master does. */
  async client(): Promise<Client> {
    this.#connection ??= connectClient(this.url, 'onlooker');
    return (await this.#connection).client;
  }

  spawnAgent(name: string, options: AgentOptions = {}): Running {
    this.#options.set(name, options);
    const { resources = 'cpus:4;mem:1024;disk:1024;ports:[31000-31099]', sysroot, more = [] } = options;
    const agent = this.spawn([
      ...['agent', '--master', options.url ?? this.url, '--name', name, '--resources', resources],
      ...['--data', options.data ?? this.dataOf(name), '--log', 'debug'],
      ...(sysroot === undefined ? [] : ['--sysroot', sysroot]),
      ...more,
    ]);
    this.agents.set(name, agent);
    return agent;
  }

  dataOf(name: string): string {
    return this.#options.get(name)?.data ?? join(this.folder, name);
  }

  /** A command on this cluster, started. */
  spawn(argv: readonly string[], environment: NodeJS.ProcessEnv = {}): Running {
    return start(process.execPath, [MESQ, ...argv], { MESQ_URL: this.url || undefined, ...environment });
  }

  /** A command on this cluster, to its end. */
  mesq(...argv: string[]): Promise<Ended> {
    return this.spawn(argv).ended;
  }

  /** What a command says with `--json`; throws where it fails. */
  async json<Value>(...argv: string[]): Promise<Value> {
    const [verb = '', ...rest] = argv;
    const { code, stdout, stderr } = await this.mesq(verb, '--json', ...rest);
    if (code !== 0) throw new Error(`mesq ${argv.join(' ')} → ${code}: ${stderr}`);
    return JSON.parse(stdout) as Value;
  }

  /** Submits, and gives the job's id. */
  async submit(...argv: string[]): Promise<string> {
    return (await this.json<{ job: string }>('run', '--detach', ...argv)).job;
  }

  /** The newest attempt of each task of the job, by index. */
  async tasks(job: string): Promise<TaskView[]> {
    const client = await this.client();
    return eventually(async () => {
      const [placed, scheduled] = await Promise.all([
        client.request('tasks', { job }),
        client.request('tasks', { job }, { framework: 'batch' }),
      ]);
      const told = !(placed instanceof Fault) && !(scheduled instanceof Fault);
      return told ? mergeTasks(placed.tasks, scheduled.tasks) : undefined;
    });
  }

  /** Waits until the first task of the job is in that state. */
  task(job: string, state: TaskView['state']): Promise<TaskView> {
    return eventually(async () => (await this.tasks(job)).find((task) => task.index === 0 && task.state === state));
  }

  /** Waits until the first task of the job has ended, however that was. */
  end(job: string): Promise<TaskView['state']> {
    return eventually(async () => (await this.tasks(job)).map(({ state }) => state).find(isTerminal));
  }

  /** Kills all that an agent has started, its launcher too. */
  async powerCut(name: string): Promise<void> {
    await endAll(this.dataOf(name));
  }

  async #clean(): Promise<void> {
    await (await this.#connection)?.close();
    const processes = [this.master, ...this.agents.values()].filter((one) => one !== undefined);
    for (const { process } of processes) process.kill('SIGKILL');
    await Promise.all(processes.map(({ ended }) => ended));
    await endAll(this.folder);
    for (const name of this.agents.keys())
      await eventually(() => removeCgroups(join(this.dataOf(name), 'launcher')) || undefined);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** Processes whose working folder or command line lies below a folder: launchers and tasks outlive an agent on purpose. */
export async function survivors(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (`${environment}\0${command}`.includes(folder)) found.push(Number(entry));
  }
  return found;
}

/** Kills everything that {@link survivors} finds, until nothing is left. */
export async function endAll(folder: string): Promise<void> {
  await eventually(async () => {
    const left = await survivors(folder);
    for (const pid of left) killGroup(pid);
    return left.length === 0 || undefined;
  });
}

/** SIGKILL for a process and the group it leads. */
export function killGroup(pid: number): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, 'SIGKILL');
    } catch {
      // It ended by itself, or leads no group.
    }
  }
}

/** What an agent reads of this machine, copied, with another boot id or machine id: another start, or another machine. */
export async function copyMachine(folder: string, change: { boot?: string; machine?: string }): Promise<string> {
  const files = [
    'proc/sys/kernel/random/boot_id',
    'proc/cpuinfo',
    'proc/meminfo',
    'proc/uptime',
    'proc/version',
    'proc/sys/kernel/osrelease',
    'etc/machine-id',
    'etc/os-release',
    'etc/hostname',
  ];
  for (const file of files) {
    if (!existsSync(`/${file}`)) continue;
    await mkdir(join(folder, file, '..'), { recursive: true });
    // A file of /proc says that it is empty: copied by what it says, not by its size.
    await writeText(join(folder, file), readFileSync(`/${file}`, 'utf8'));
  }
  if (change.boot !== undefined) await writeText(join(folder, 'proc/sys/kernel/random/boot_id'), `${change.boot}\n`);
  if (change.machine !== undefined) await writeText(join(folder, 'etc/machine-id'), `${change.machine}\n`);
  return folder;
}

async function writeText(path: string, text: string): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, text);
}

/** A copy of a data folder, as a card that was cloned. */
export async function cloneFolder(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, filter: (path) => !/\/(lock\.|launcher$|executors$)/.test(path) });
}
