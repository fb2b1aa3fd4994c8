import { type Agent, type AgentMachine, type AgentOptions, startAgent } from '../../agent/agent.ts';
import type { OwnDevice } from '../../agent/devices/choose-devices.ts';
import { countDevices } from '../../agent/devices/cut-devices.ts';
import type { TaskStart } from '../../io/launcher.ts';
import { systemDigest } from '../../io/node/digest.ts';
import type { OutputFile } from '../../io/output-file.ts';
import type { NoSandboxFile, SandboxFile } from '../../io/sandbox-files.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { add } from '../../protocol/resource-arithmetic.ts';
import { parseResources } from '../../protocol/resources.ts';
import { ScriptedSource } from '../sim/artifact-source.ts';
import { connectSimulatedBus, type SimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedMachine, type SimulatedProgram } from '../sim/launcher.ts';
import { SimulatedLineSocket } from '../sim/line-socket.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SimulatedProbes } from '../sim/prober.ts';
import { ProcessClock } from '../sim/process-clock.ts';
import { SeededRandom } from '../sim/random.ts';
import { runningDigest, SimulatedSandboxes } from '../sim/sandbox-filler.ts';
import { SimulatedDisk } from '../sim/storage.ts';
import { SimulatedVolumes } from '../sim/volume-folders.ts';
import { ScriptedMaster } from './scripted-master.ts';

export const URL = 'mqtt://m1:1883';

/** One agent on a simulated machine, its disk and network, and a scripted master. All on virtual time from one seed. */
export class AgentWorld {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly network: SimulatedNetwork;
  readonly disk = new SimulatedDisk();
  readonly machine: SimulatedMachine;
  /** Where executors find the agent. */
  readonly socket = new SimulatedLineSocket(this.clock);
  readonly prober: SimulatedProbes;
  /** What tasks fetch, where it is kept, and what they were given of it. */
  readonly source = new ScriptedSource();
  readonly fetched = new SimulatedDisk();
  readonly filled = new SimulatedSandboxes();
  cacheBytes = 1_000_000;
  fetchWaitMs = 0;
  fetchesAsked = 0;
  readonly master: ScriptedMaster;
  /** Task folders that were made, with what was to be started in them. */
  readonly made = new Map<string, TaskStart>();
  /** Folders whose task began to run, each as often as it did. */
  readonly started: string[] = [];
  /** Called when the disk came to its `crashAt` and ended the agent's process. */
  onDeath: () => void = () => undefined;
  /** What a start writes, where it is too long for an argument. */
  readonly outputs = new Map<string, string>();
  /** Folders whose outputs say that they are so long, whatever is in them. */
  readonly outputSizes = new Map<string, number>();
  /** Folders whose outputs were looked at for a cut, each time. */
  readonly cuts: string[] = [];
  /** `folder/path` → a file in a task's sandbox, and what tells it from one that takes its place. */
  readonly sandboxes = new Map<string, { inode: string; bytes: Uint8Array }>();
  /** Files that the agent holds open. */
  openFiles = 0;
  /** What made the agent give up. */
  readonly faults: Fault[] = [];
  readonly urls: string[];
  /** GPUs and accelerators of the machine. */
  devices: readonly OwnDevice[] = [];
  /** How to look at the machine again. */
  hardware: Omit<AgentMachine, 'found'> = {};
  /** Beyond what every agent here is started with. */
  more: Partial<
    Pick<AgentOptions, 'bulkBudget' | 'bookkeeping' | 'brotli' | 'containers' | 'deflate' | 'metered' | 'packing'>
  > = {};
  boot = 'boot-1';
  /** What the agent's wall clock is ahead of the world's. */
  wallAheadMs = 0;
  identity = { machine: 'machine-1', serial: 'serial-1' };
  agent: Agent | undefined;
  #bus: SimulatedBus | undefined;
  #boots = 1;
  #life = 0;

  constructor(seed = 1, urls = [URL]) {
    this.random = new SeededRandom(seed);
    this.urls = urls;
    this.network = new SimulatedNetwork({ clock: this.clock, random: this.random, duplicates: 0.3 });
    this.prober = new SimulatedProbes(this.clock);
    this.machine = new SimulatedMachine(this.clock, (task) => {
      this.made.set(task.folder, task);
      const does = JSON.parse((task.argv as string[]).at(-1) ?? '{}') as SimulatedProgram;
      const output = this.outputs.get(task.folder) ?? does.output;
      return output === undefined ? does : { ...does, output };
    });
    this.machine.onStart = (folder) => this.started.push(folder);
    this.master = this.masterAt(urls[0] ?? URL);
  }

  masterAt(url: string, cluster?: string): ScriptedMaster {
    const bus = connectSimulatedBus(this.network, { clientId: `master ${url} ${cluster}`, urls: [url], local: true });
    return new ScriptedMaster(bus, this.clock, 'pi-1', cluster);
  }

  /** Starts the agent's process; undefined where it died before it was up. */
  async start(): Promise<Agent | Fault | undefined> {
    const plain = parseResources('cpus:4;mem:1024;ports:[31000-31009]');
    assert(!(plain instanceof Fault), 'resources can be read');
    const resources = add(plain, countDevices(this.devices));
    let died = false;
    this.disk.onPowerCut = () => {
      died = true;
      this.#die();
      this.onDeath();
    };
    const starting = startAgent({
      name: 'pi-1',
      prefix: 'mesq',
      urls: this.urls,
      identity: this.identity,
      boot: this.boot,
      hostname: 'pi-1',
      metered: false,
      machine: { found: { resources, attributes: [], devices: this.devices }, ...this.hardware },
      connect: (agent, will, opening) => {
        this.#bus = connectSimulatedBus(this.network, { clientId: `pi-1~${agent}`, urls: this.urls, will, opening });
        return this.#bus;
      },
      storage: this.disk.storage(),
      launcher: this.machine.attach(),
      lines: this.socket.listen(),
      prober: this.prober.attach(),
      output: (folder) => outputOf(this.machine, folder, this.cuts, this.outputSizes.get(folder)),
      sandboxes: {
        open: (folder, path) => Promise.resolve(this.sandboxFile(`${folder}/${path}`)),
      },
      artifacts: {
        sources: [this.source],
        storage: this.fetched.storage(),
        filler: this.filled.filler(),
        digest: systemDigest,
        runningDigest,
        cacheBytes: this.cacheBytes,
        budget: {
          fetchWaitMs: () => {
            this.fetchesAsked++;
            return this.fetchWaitMs;
          },
          spent: () => undefined,
        },
      },
      pathOf: (folder) => `/data/tasks/${folder}`,
      volumes: new SimulatedVolumes(),
      clock: new ProcessClock(this.clock, 1, () => this.wallAheadMs),
      random: this.random,
      log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      onFailed: (fault) => this.faults.push(fault),
      ...this.more,
    });
    let result: Agent | Fault | undefined;
    const life = this.#life;
    starting.then(
      (agent) => {
        result = agent;
      },
      (error: unknown) => {
        // A process that was killed while it started says no more.
        if (life === this.#life) throw error;
      },
    );
    await this.clock.until(() => died || result !== undefined, 60_000).catch(() => undefined);
    if (!(result instanceof Fault)) this.agent = result;
    return result;
  }

  /** Starts it, and waits until the master knows it. */
  async up(): Promise<void> {
    await this.start();
    await this.clock.until(() => this.master.epoch > 0, 60_000);
    await this.clock.advance(100);
  }

  /** `kill -9` of the agent; tasks, disk and machine go on. */
  kill(): void {
    this.disk.kill();
    this.fetched.kill();
    this.#die();
  }

  /** Power is gone: what the disk had not made durable may be lost, and no process is left. */
  cutPower(): void {
    this.disk.crash(this.random);
    this.fetched.crash(this.random);
    this.#die();
    this.machine.reboot();
    this.boot = `boot-${++this.#boots}`;
  }

  /** The agent's connection breaks; it reconnects by itself. */
  cut(): void {
    const id = this.network
      .broker(this.urls[0] ?? URL)
      .clients()
      .find((client) => client.startsWith('pi-1~'));
    if (id !== undefined) this.network.cut(id);
  }

  until(done: () => boolean, limitMs = 3_600_000): Promise<void> {
    return this.clock.until(done, limitMs);
  }

  /** Opens one of {@link sandboxes}. */
  sandboxFile(name: string): SandboxFile | NoSandboxFile {
    const file = this.sandboxes.get(name);
    if (file === undefined) return 'missing';
    this.openFiles++;
    return {
      size: file.bytes.length,
      inode: file.inode,
      read: (offset, length) => Promise.resolve(file.bytes.slice(offset, offset + length)),
      close: () => Promise.resolve(void this.openFiles--),
    };
  }

  #die(): void {
    this.#life++;
    this.machine.killAgent();
    this.socket.kill();
    this.#bus?.kill();
    this.#bus = undefined;
    this.agent = undefined;
  }
}

/** What a task of the simulated machine does, as arguments. */
export function program(does: SimulatedProgram = {}): string[] {
  return ['true', JSON.stringify(does)];
}

function outputOf(machine: SimulatedMachine, folder: string, cuts: string[], size?: number): OutputFile {
  const content = (): Uint8Array => new TextEncoder().encode(machine.stdout(folder));
  return {
    size: () => Promise.resolve(size ?? content().length),
    read: (offset, length) => {
      const bytes = content();
      return Promise.resolve({ offset, bytes: bytes.slice(offset, offset + length), end: bytes.length });
    },
    cut: () => {
      cuts.push(folder);
      return Promise.resolve(false);
    },
    watch: () => () => undefined,
  };
}

function ignore(): void {}
