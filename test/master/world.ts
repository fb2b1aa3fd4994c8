import { type Agent, type AgentMachine, startAgent } from '../../agent/agent.ts';
import type { Bus } from '../../io/bus.ts';
import type { TaskStart } from '../../io/launcher.ts';
import { systemDigest } from '../../io/node/digest.ts';
import type { OutputFile } from '../../io/output-file.ts';
import { randomWord } from '../../io/random.ts';
import type { AllocatorOptions } from '../../master/allocator/allocator.ts';
import type { Times } from '../../master/leader.ts';
import { type Master, type MasterOptions, startMaster } from '../../master/master.ts';
import { AGENT_DOWN, AGENT_UP } from '../../protocol/agent-link.ts';
import { type Encoding, type MessageOf, type Outgoing, read, write } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { REPLIES, REQUESTS } from '../../protocol/operator.ts';
import { CALLS, EVENTS } from '../../protocol/scheduler.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { parseTopic, topicOf } from '../../protocol/topics.ts';
import { resourcesOf } from '../resources-of.ts';
import { connectSimulatedBus, type SimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { fromLastArgument, SimulatedMachine } from '../sim/launcher.ts';
import { SimulatedLineSocket } from '../sim/line-socket.ts';
import { type NetworkOptions, SimulatedNetwork } from '../sim/network.ts';
import { SimulatedProbes } from '../sim/prober.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';
import { SimulatedVolumes } from '../sim/volume-folders.ts';

const URL = 'mqtt://m1:1883';
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Remembers every word that was made of its bytes. */
class MintingRandom extends SeededRandom {
  readonly minted = new Set<string>();

  override bytes(count: number): Uint8Array {
    const bytes = super.bytes(count);
    this.minted.add(randomWord({ next: () => 0, bytes: () => bytes }, count));
    return bytes;
  }
}

/** The real master on a simulated network, clock and disk, with real agents and whoever else speaks to it. */
export class MasterWorld {
  readonly clock = new VirtualClock();
  readonly random: MintingRandom;
  readonly network: SimulatedNetwork;
  readonly disk = new SimulatedDisk();
  /** What is retained below `state/`, as a viewer sees it. */
  readonly state = new Map<string, string>();
  /** What made the master's process end. */
  readonly fatal: Error[] = [];
  /** The master sees what keeps connections alive, as it does of its own broker. */
  seesPackets = false;
  /** What the master packs messages with, and unpacks pieces; nothing by default. */
  more: Partial<Pick<MasterOptions, 'packing' | 'inflate' | 'unbrotli'>> = {};
  /** Whose connections the master has ended. */
  readonly sentAway: string[] = [];
  /** As what its broker says that a client stands, by name; it says nothing of others. */
  readonly roles = new Map<string, string>();
  readonly #times: Partial<Times>;
  readonly #allocation: AllocatorOptions;
  readonly #blobBytes: number | undefined;
  master: Master | undefined;
  #bus: SimulatedBus | undefined;

  constructor({
    seed = 1,
    times = {},
    allocation = {},
    blobBytes,
    ...network
  }: {
    seed?: number;
    times?: Partial<Times>;
    allocation?: AllocatorOptions;
    blobBytes?: number;
  } & Partial<NetworkOptions> = {}) {
    this.random = new MintingRandom(seed);
    this.network = new SimulatedNetwork({ clock: this.clock, random: this.random, ...network });
    this.#times = times;
    this.#allocation = allocation;
    this.#blobBytes = blobBytes;
    this.network.onGone = (clientId) => {
      const role = /^(agent|framework):/.exec(clientId)?.[1];
      const [name = ''] = clientId.replace(/^\w+:/, '').split('~');
      if (role === 'agent' || role === 'framework') this.master?.connectionLost(role, name);
    };
  }

  bus(clientId: string, local = false): SimulatedBus {
    return connectSimulatedBus(this.network, { clientId, urls: [URL], local });
  }

  /** Starts the master's process and waits until it leads; a fault where it refuses to start. */
  async start(): Promise<Fault | undefined> {
    this.#bus = this.bus('master', true);
    const bus = this.#bus;
    await this.clock.until(() => bus.connected);
    let started: Master | Fault | undefined;
    let failed: unknown;
    startMaster({
      id: 'm1',
      prefix: 'mesq',
      urls: [URL],
      version: '0.0.0',
      bus: this.#withRoles(bus),
      storage: this.disk.storage(),
      clock: this.clock,
      random: this.random,
      digest: systemDigest,
      log: SILENT,
      times: this.#times,
      lastPacketMs: (name) => (this.seesPackets ? this.network.broker(URL).lastPacketMs(`agent:${name}~`) : undefined),
      disconnect: (name) => this.sentAway.push(name),
      allocation: this.#allocation,
      ...(this.#blobBytes === undefined ? {} : { blobBytes: this.#blobBytes }),
      onFatal: (error) => this.fatal.push(error),
      ...this.more,
    }).then(
      (result) => {
        started = result;
      },
      (error: unknown) => {
        failed = error;
      },
    );
    await this.clock.until(() => started !== undefined || failed !== undefined).catch(ignore);
    if (failed !== undefined) throw failed;
    if (started instanceof Fault || started === undefined) return started;
    this.master = started;
    await this.clock.advance(500);
    return undefined;
  }

  /** The bus as a broker in the master's process has it: it knows as what each client stands. */
  #withRoles(bus: Bus): Bus {
    return {
      get connected() {
        return bus.connected;
      },
      publish: (...of) => bus.publish(...of),
      subscribe: (filter, qos, handler) =>
        bus.subscribe(filter, qos, (message) => {
          const role = this.roles.get(parseTopic('mesq', message.topic)?.name ?? '');
          handler(role === undefined ? message : { ...message, role });
        }),
      onConnected: (listener) => bus.onConnected(listener),
      onDisconnected: (listener) => bus.onDisconnected(listener),
      close: () => bus.close(),
    };
  }

  /** `kill -9` of the master and the broker in it. */
  killMaster(): void {
    this.disk.kill();
    this.#endMaster();
  }

  /** Power is gone: of what was not durable, some is. */
  cutPower(): void {
    this.disk.crash(this.random);
    this.#endMaster();
  }

  #endMaster(): void {
    this.master?.stop().catch(ignore);
    this.master = undefined;
    this.#bus?.kill();
    const broker = this.network.broker(URL);
    broker.stop();
    broker.start();
  }

  /** Follows `state/` as MQTT Explorer does. */
  async watchState(): Promise<void> {
    const bus = this.bus('viewer');
    await bus.subscribe('mesq/state/#', 0, ({ topic, payload }) => {
      const rest = topic.slice('mesq/state/'.length);
      if (payload.length === 0) this.state.delete(rest);
      else this.state.set(rest, new TextDecoder().decode(payload));
    });
    await this.clock.until(() => bus.connected);
    await this.clock.advance(500);
  }

  until(done: () => boolean, limitMs = 3_600_000): Promise<void> {
    return this.clock.until(done, limitMs);
  }
}

/** A real agent on a machine of its own. */
export class SimulatedAgent {
  readonly world: MasterWorld;
  readonly name: string;
  readonly machine: SimulatedMachine;
  readonly socket: SimulatedLineSocket;
  /** What was to be started in each folder. */
  readonly made = new Map<string, TaskStart>();
  readonly prober: SimulatedProbes;
  readonly volumes = new SimulatedVolumes();
  disk = new SimulatedDisk();
  boot = 'boot-1';
  identity: { machine: string; serial: string };
  resources = 'cpus:4;mem:1024';
  /** How to ask the machine how it is. */
  hardware: Omit<AgentMachine, 'found'> = {};
  readonly faults: Fault[] = [];
  agent: Agent | undefined;
  #bus: SimulatedBus | undefined;

  constructor(world: MasterWorld, name: string) {
    this.world = world;
    this.name = name;
    this.identity = { machine: `machine-${name}`, serial: '' };
    this.machine = new SimulatedMachine(world.clock, (task) => {
      this.made.set(task.folder, task);
      return fromLastArgument(task);
    });
    this.prober = new SimulatedProbes(world.clock);
    this.socket = new SimulatedLineSocket(world.clock);
  }

  async start(): Promise<void> {
    const { world, name } = this;
    let agent: Agent | Fault | undefined;
    startAgent({
      name,
      prefix: 'mesq',
      urls: [URL],
      identity: this.identity,
      boot: this.boot,
      hostname: name,
      metered: false,
      machine: { found: { resources: resourcesOf(this.resources), attributes: [], devices: [] }, ...this.hardware },
      connect: (id, will) => {
        this.#bus = connectSimulatedBus(world.network, { clientId: `agent:${name}~${id}`, urls: [URL], will });
        return this.#bus;
      },
      storage: this.disk.storage(),
      launcher: this.machine.attach(),
      lines: this.socket.listen(),
      prober: this.prober.attach(),
      output: () => NO_OUTPUT,
      sandboxes: { open: () => Promise.resolve('missing') },
      pathOf: (folder) => `/data/tasks/${folder}`,
      volumes: this.volumes,
      clock: world.clock,
      random: world.random,
      log: SILENT,
      onFailed: (fault) => this.faults.push(fault),
    }).then((result) => {
      agent = result;
    }, ignore);
    await world.until(() => agent !== undefined, 60_000);
    assert(agent !== undefined && !(agent instanceof Fault), 'the agent starts');
    this.agent = agent;
    await world.clock.advance(1_000);
  }

  /** Its connection breaks; it comes back by itself. */
  cut(): void {
    this.world.network.cut(this.#clientId());
  }

  /** Nothing comes through, either way. */
  unplug(): void {
    const id = this.#clientId();
    this.world.network.partition((clientId) => clientId === id);
  }

  /** The agent's process is killed; its tasks go on. */
  kill(): void {
    this.disk.kill();
    this.machine.killAgent();
    this.socket.kill();
    this.#bus?.kill();
    this.agent = undefined;
  }

  /** The machine goes down. */
  reboot(): void {
    this.kill();
    this.machine.reboot();
    this.boot = `${this.boot}+`;
  }

  #clientId(): string {
    return `agent:${this.name}~${this.agent?.agent}`;
  }
}

/** A scheduler by hand: what it is sent is kept, what it says is up to the test. */
export class ScriptedFramework {
  readonly bus: SimulatedBus;
  readonly events: MessageOf<typeof EVENTS>[] = [];
  readonly #spent = new Set<string>();
  readonly #world: MasterWorld;
  readonly #name: string;
  readonly #encoding: Encoding;

  constructor(world: MasterWorld, name: string, encoding: Encoding = 'cbor') {
    this.#world = world;
    this.#name = name;
    this.#encoding = encoding;
    this.bus = world.bus(`framework:${name}`);
    const hear = ({ payload }: { payload: Uint8Array }): void => {
      const event = read(EVENTS, payload);
      assert(
        !(event instanceof Fault),
        `a framework can read what it is sent: ${event instanceof Fault ? event.message : ''}`,
      );
      assert(event.encoding === this.#encoding, 'a framework is answered as it writes');
      this.events.push(event.message);
    };
    void this.bus.subscribe(topicOf('mesq', { kind: 'event', name }), 1, hear);
    void this.bus.subscribe(topicOf('mesq', { kind: 'offers', name }), 1, hear);
  }

  async subscribe(roles: string[] = ['ann']): Promise<void> {
    await this.#world.until(() => this.bus.connected);
    await this.call({ type: 'SUBSCRIBE', roles });
  }

  async call(message: Outgoing<typeof CALLS>, advanceMs = 500): Promise<void> {
    await this.#world.until(() => this.bus.connected);
    if (message.type === 'ACCEPT' || message.type === 'DECLINE')
      for (const offer of message.offers) this.#spent.add(offer);
    this.bus
      .publish(topicOf('mesq', { kind: 'call', name: this.#name }), write(CALLS, message, this.#encoding), {
        qos: 1,
      })
      .catch(ignore);
    await this.#world.clock.advance(advanceMs);
  }

  of<Type extends MessageOf<typeof EVENTS>['type']>(type: Type): Extract<MessageOf<typeof EVENTS>, { type: Type }>[] {
    return this.events.filter(
      (event): event is Extract<MessageOf<typeof EVENTS>, { type: Type }> => event.type === type,
    );
  }

  /** Offers made and neither answered nor rescinded, newest last. */
  offers(): string[] {
    const open = new Set<string>();
    for (const event of this.events) {
      if (event.type === 'OFFERS') for (const { offer } of event.offers) open.add(offer);
      if (event.type === 'RESCIND') for (const offer of event.offers) open.delete(offer);
    }
    return [...open].filter((offer) => !this.#spent.has(offer));
  }

  /** States of a task in the order they were told. */
  states(task: string): string[] {
    return this.of('UPDATE').flatMap(({ updates }) =>
      updates.filter((update) => update.task === task).map(({ state }) => state),
    );
  }

  async launch(tasks: TaskInfo[], offers = this.offers().slice(-1)): Promise<void> {
    await this.call({ type: 'ACCEPT', offers, operations: [{ type: 'LAUNCH', tasks }] });
  }

  /** Spends all it is offered; what is left comes back at once. */
  async operate(...operations: Extract<Outgoing<typeof CALLS>, { type: 'ACCEPT' }>['operations']): Promise<void> {
    await this.call({ type: 'ACCEPT', offers: this.offers(), operations, refuseMs: 0 });
  }

  async acknowledgeAll(): Promise<void> {
    const updates = this.of('UPDATE')
      .flatMap((event) => event.updates)
      .filter(({ acknowledge }) => acknowledge)
      .map(({ task, uuid }) => ({ task, uuid }));
    await this.call({ type: 'ACKNOWLEDGE', updates: updates.slice(-100) });
  }
}

/** An agent by hand, in JSON: it says what it is told to, and remembers what it hears. */
export class ScriptedAgent {
  readonly heard: MessageOf<typeof AGENT_DOWN>[] = [];
  readonly bus: SimulatedBus;
  readonly #world: MasterWorld;
  readonly #name: string;

  constructor(world: MasterWorld, name: string) {
    this.#world = world;
    this.#name = name;
    this.bus = world.bus(`agent:${name}~by-hand`);
    void this.bus.subscribe(topicOf('mesq', { kind: 'down', name }), 1, ({ payload }) => {
      const message = read(AGENT_DOWN, payload);
      assert(
        !(message instanceof Fault) && message.encoding === 'json',
        'an agent that writes JSON is answered in JSON',
      );
      this.heard.push(message.message);
    });
  }

  async say(message: Outgoing<typeof AGENT_UP>, advanceMs = 500): Promise<void> {
    await this.#world.until(() => this.bus.connected);
    this.bus
      .publish(topicOf('mesq', { kind: 'up', name: this.#name }), write(AGENT_UP, message, 'json'), {
        qos: 1,
      })
      .catch(ignore);
    await this.#world.clock.advance(advanceMs);
  }

  last<Type extends MessageOf<typeof AGENT_DOWN>['type']>(
    type: Type,
  ): Extract<MessageOf<typeof AGENT_DOWN>, { type: Type }> | undefined {
    return this.heard.findLast(
      (message): message is Extract<MessageOf<typeof AGENT_DOWN>, { type: Type }> => message.type === type,
    );
  }

  get epoch(): number {
    return this.last('REGISTERED')?.epoch ?? 0;
  }
}

/** A registration of a {@link ScriptedAgent}. */
export function greeting(
  name: string,
  over: Partial<Extract<Outgoing<typeof AGENT_UP>, { type: 'REGISTER' }>> = {},
): Extract<Outgoing<typeof AGENT_UP>, { type: 'REGISTER' }> {
  return {
    type: 'REGISTER',
    agent: `id-${name}`,
    name,
    identity: { machine: `machine-${name}`, serial: '' },
    incarnation: 'i1',
    counter: 1,
    versions: { min: 1, max: 1, features: [] },
    hostname: name,
    boot: 'boot-1',
    resources: resourcesOf('cpus:4;mem:1024'),
    attributes: [],
    tasks: [],
    part: 0,
    last: true,
    ...over,
  };
}

/** Somebody at a shell. */
export class ScriptedClient {
  readonly replies: MessageOf<typeof REPLIES>[] = [];
  readonly bus: SimulatedBus;
  readonly #world: MasterWorld;
  readonly #topic: string;

  constructor(world: MasterWorld, name: string) {
    this.#world = world;
    this.#topic = topicOf('mesq', { kind: 'request', name, session: 's1' });
    this.bus = world.bus(`client:${name}/s1`);
    void this.bus.subscribe(topicOf('mesq', { kind: 'reply', name, session: 's1' }), 1, ({ payload }) => {
      const reply = read(REPLIES, payload);
      assert(!(reply instanceof Fault), 'a client can read its answer');
      this.replies.push(reply.message);
    });
  }

  /** Sends a request and waits for nothing. */
  tell(request: string, op: string, body: object): void {
    this.bus
      .publish(this.#topic, write(REQUESTS, { type: 'REQUEST', request, op, body }, 'json'), { qos: 1 })
      .catch(ignore);
  }

  /** The last part of the answer. */
  async ask(request: string, op: string, body: object = {}): Promise<MessageOf<typeof REPLIES> | undefined> {
    await this.raw(write(REQUESTS, { type: 'REQUEST', request, op, body }, 'json'));
    return this.replies.findLast((reply) => reply.request === request);
  }

  async raw(payload: Uint8Array): Promise<void> {
    await this.#world.until(() => this.bus.connected);
    this.bus.publish(this.#topic, payload, { qos: 1 }).catch(ignore);
    await this.#world.clock.advance(500);
  }
}

/** A task that needs one cpu; `does` is a SimulatedProgram. */
export function task(name: string, does: object = {}, over: Partial<TaskInfo> = {}): TaskInfo {
  return {
    task: name,
    attempt: 0,
    argv: ['true', JSON.stringify(does)],
    resources: resourcesOf('cpus:1;mem:32'),
    restart: 'never',
    killGraceMs: 3_000,
    ...over,
  };
}

const NO_OUTPUT: OutputFile = {
  size: () => Promise.resolve(0),
  read: (offset) => Promise.resolve({ offset, bytes: new Uint8Array(), end: 0 }),
  cut: () => Promise.resolve(false),
  watch: () => ignore,
};

function ignore(): void {}
