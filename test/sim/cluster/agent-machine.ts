import { startAgent } from '../../../agent/agent.ts';
import type { TaskStart } from '../../../io/launcher.ts';
import type { OutputFile } from '../../../io/output-file.ts';
import { Fault } from '../../../protocol/faults.ts';
import { resourcesOf } from '../../resources-of.ts';
import { fromLastArgument, SimulatedMachine } from '../launcher.ts';
import { SimulatedLineSocket } from '../line-socket.ts';
import { SimulatedProbes } from '../prober.ts';
import { SimulatedDisk } from '../storage.ts';
import { SimulatedVolumes } from '../volume-folders.ts';
import type { Audit } from './audit.ts';
import { SimulatedProcess, type Surroundings } from './simulated-process.ts';

/** Thousandths of a cpu. */
const CPUS = 4_000;
const RESOURCES = 'cpus:4;mem:1024';
/** Supervised as systemd does. */
const AGAIN_MS = 1_000;

export interface AgentMachineOptions {
  /** It says as little as it can. */
  readonly metered: boolean;
  readonly around: Surroundings;
  readonly audit: Audit;
  /** Of the machine; a copied card has the agent's name on another machine. */
  readonly machine: string;
  readonly agent: string;
  readonly urls: readonly string[];
  readonly rate: number;
  readonly diskMs: () => number;
  /** A card that was in use elsewhere, and the machine-id on it. */
  readonly card?: { readonly disk: SimulatedDisk; readonly machineId: string };
}

/** A board with an agent on it: a disk, tasks that outlive the agent's process, and power that may go. */
export class AgentMachine {
  readonly disk: SimulatedDisk;
  /** The agent's process is not to be started again by itself. */
  down = false;
  wallMs = 0;
  /** Why the agent's process ended last by itself. */
  refused: Fault | undefined;
  readonly name: string;
  readonly machine: SimulatedMachine;
  readonly #options: AgentMachineOptions;
  readonly #made = new Map<string, TaskStart>();
  readonly #socket: SimulatedLineSocket;
  readonly #prober: SimulatedProbes;
  #process: SimulatedProcess | undefined;
  #boots = 1;
  #cards = 1;
  #machineId: string;
  /** What the agent on the card is known as. */
  #agent: string | undefined;

  constructor(options: AgentMachineOptions) {
    const { around, audit, machine } = options;
    this.#options = options;
    this.name = options.agent;
    this.disk = options.card?.disk ?? new SimulatedDisk();
    this.#machineId = options.card?.machineId ?? `${machine}-card-1`;
    this.machine = new SimulatedMachine(around.clock, (task) => {
      this.#made.set(task.folder, task);
      return fromLastArgument(task);
    });
    audit.machine(machine, CPUS);
    this.machine.onStart = (folder) => {
      const task = this.#made.get(folder);
      if (task === undefined) return;
      around.say(machine, 'starts', { folder });
      audit.started(machine, task, cpusOf(task));
    };
    this.machine.onEnd = (folder) => {
      const task = this.#made.get(folder);
      if (task !== undefined) audit.ended(machine, cpusOf(task));
    };
    this.#socket = new SimulatedLineSocket(around.clock);
    this.#prober = new SimulatedProbes(around.clock);
  }

  get runs(): boolean {
    return this.#process !== undefined;
  }

  get paused(): boolean {
    return this.#process?.clock.paused === true;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const { around, machine, agent: name, metered, rate, urls, diskMs } = this.#options;
    const process = new SimulatedProcess(around, machine, rate, () => this.wallMs);
    const { clock, random, log } = process;
    this.#process = process;
    const starting = startAgent({
      name,
      prefix: 'mesq',
      urls,
      identity: { machine: this.#machineId, serial: machine },
      boot: `${machine}-boot-${this.#boots}`,
      hostname: machine,
      metered,
      ...(metered ? process.packing('toAgents') : {}),
      machine: { found: { resources: resourcesOf(RESOURCES), attributes: [], devices: [] } },
      connect: (id, will, opening) => process.connect({ clientId: `agent:${name}~${id}`, urls, will, opening }),
      storage: this.disk.storage({ clock, latencyMs: diskMs }),
      launcher: this.machine.attach((tell) => clock.deliver(tell)),
      lines: this.#socket.listen(),
      prober: this.#prober.attach(),
      output: () => NO_OUTPUT,
      sandboxes: { open: () => Promise.resolve('missing') },
      pathOf: (folder) => `/data/tasks/${folder}`,
      volumes: new SimulatedVolumes(),
      clock,
      random,
      log,
      onFailed: (fault) => this.#died(process, fault),
    });
    starting.then(
      (started) => {
        if (started instanceof Fault) this.#died(process, started);
        else if (process === this.#process) this.#agent = started.agent;
      },
      (error: unknown) => this.#died(process, error),
    );
  }

  /** `kill -9` of the agent: its tasks go on. */
  kill(): void {
    this.disk.kill();
    this.machine.killAgent();
    this.#end();
  }

  /** Power is gone: no process is left, and of what was not durable, some is. */
  cutPower(): void {
    this.disk.crash(this.#options.around.random);
    this.machine.reboot();
    this.#end();
    this.#boots++;
  }

  /** Another card is put in, with nothing on it. The id of the agent that is gone with it, where it had one. */
  loseCard(): string | undefined {
    const lost = this.#agent;
    this.cutPower();
    this.disk.wipe();
    for (const folder of this.machine.folders) this.machine.remove(folder);
    this.#machineId = `${this.#options.machine}-card-${++this.#cards}`;
    this.#agent = undefined;
    return lost;
  }

  /** Another machine with a copy of this one's card. */
  copy(machine: string): AgentMachine {
    return new AgentMachine({
      ...this.#options,
      machine,
      card: { disk: this.disk.clone(), machineId: this.#machineId },
    });
  }

  pause(): void {
    this.#process?.pause();
  }

  resume(): void {
    this.#process?.resume();
  }

  #died(process: SimulatedProcess, error: unknown): void {
    const { around, audit, machine } = this.#options;
    if (process !== this.#process) return;
    const text = textOf(error);
    around.say(machine, 'stops', { why: text });
    this.refused = error instanceof Fault ? error : undefined;
    if (!(error instanceof Fault) && !/EIO|ENOSPC/.test(text)) audit.violated(`${machine} stops: ${text}`);
    this.kill();
    around.clock.after(AGAIN_MS, () => {
      if (!this.down) this.start();
    });
  }

  #end(): void {
    this.#socket.kill();
    this.#process?.kill();
    this.#process = undefined;
  }
}

function textOf(error: unknown): string {
  if (error instanceof Fault) return `${error.code}: ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function cpusOf(task: TaskStart): number {
  const told = 'shell' in task.argv ? undefined : (JSON.parse(task.argv.at(-1) ?? '{}') as { cpus?: number });
  return told?.cpus ?? 0;
}

const NO_OUTPUT: OutputFile = {
  size: () => Promise.resolve(0),
  read: (offset) => Promise.resolve({ offset, bytes: new Uint8Array(), end: 0 }),
  cut: () => Promise.resolve(false),
  watch: () => () => undefined,
};
