import { createBatch } from '../frameworks/batch/batch.ts';
import { systemDigest } from '../io/node/digest.ts';
import type { RandomAccessFile, Storage } from '../io/storage.ts';
import { startMaster } from '../master/master.ts';
import { AGENT_DOWN, AGENT_UP } from '../protocol/agent-link.ts';
import { type Outgoing, PROTOCOL, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';
import type { TaskInfo, TaskState } from '../protocol/task.ts';
import { topicOf } from '../protocol/topics.ts';
import { createClient } from '../sdk/client.ts';
import { createSchedulerDriver, type Offer, pack, type Scheduler, type TaskLaunch } from '../sdk/index.ts';
import { connectSimulatedBus, type SimulatedBus } from '../test/sim/bus.ts';
import { VirtualClock } from '../test/sim/clock.ts';
import { SimulatedNetwork } from '../test/sim/network.ts';
import { SeededRandom } from '../test/sim/random.ts';
import type { Measured } from './report.ts';

const URL = 'mqtt://m1:1883';
const SLOTS = 4;
const NEEDS = resources('cpus:1;mem:32');
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };
/** Shares are averages over this, after as long again to come to rest. */
const MINUTE_MS = 60_000;

/**
 * How near to equal the shares come: the real master, frameworks on the SDK and agents that only count, on virtual time
 * (200 frameworks on 2,000 agents, and owners inside the batch framework of whom one submits 10,000 tasks at once).
 */
export async function measureFairness(): Promise<Measured[]> {
  const frameworks = await World.of(2_000);
  for (let at = 0; at < 200; at++) frameworks.greedy(`f${at}`);
  const between = await frameworks.shares((task) => task.framework);
  const owners = await World.of(500);
  await owners.batch();
  for (let at = 0; at < 10; at++) await owners.submit(`owner${at}`, at === 0 ? 10_000 : 2_000);
  const inside = await owners.shares((task) => task.info.task.slice(0, task.info.task.indexOf('.')));
  return [
    row('200 frameworks, 2,000 agents of 4 slots, tasks of 30 ± 10 s', between),
    row('10 owners in batch, 500 agents of 4 slots, one with 10,000 tasks at once, nine with 2,000', inside),
  ];
}

function row(what: string, { worst, mean, tasks, seconds }: Shares): Measured {
  return {
    what: `${what}: mean deviation of a minute's share from the ideal`,
    value: `${(100 * mean).toFixed(2)} %, the worst ${(100 * worst).toFixed(2)} %`,
    beside: `${tasks} tasks launched in ${seconds.toFixed(0)} s of this machine's time`,
    target: '≤ 1 %',
    met: mean <= 0.01,
  };
}

/** A disk that is never read again. */
const FILE: RandomAccessFile = {
  size: () => Promise.resolve(0),
  read: () => Promise.resolve(new Uint8Array()),
  write: () => Promise.resolve(),
  writeDurably: () => Promise.resolve(),
  sync: () => Promise.resolve(),
  truncate: () => Promise.resolve(),
  close: () => Promise.resolve(),
};
const FORGETFUL: Storage = {
  read: () => Promise.resolve(undefined),
  replace: () => Promise.resolve(),
  rename: () => Promise.resolve(),
  list: () => Promise.resolve([]),
  remove: () => Promise.resolve(),
  open: () => Promise.resolve(FILE),
  crc32: () => 0,
};

interface Shares {
  readonly worst: number;
  readonly mean: number;
  readonly tasks: number;
  readonly seconds: number;
}

interface Placed {
  readonly framework: string;
  readonly info: TaskInfo;
}

class World {
  readonly clock = new VirtualClock();
  readonly #random = new SeededRandom(1);
  readonly #network = new SimulatedNetwork({ clock: this.clock, random: this.#random });
  readonly #agents: Agent[] = [];
  #launched = 0;

  static async of(agents: number): Promise<World> {
    const world = new World();
    await world.#start(agents);
    return world;
  }

  bus(clientId: string, local = false): SimulatedBus {
    return connectSimulatedBus(this.#network, { clientId, urls: [URL], local });
  }

  async #start(agents: number): Promise<void> {
    const bus = this.bus('master', true);
    await this.clock.until(() => bus.connected);
    const starting = startMaster({
      ...{ id: 'm1', prefix: 'mesq', urls: [URL], version: '0.0.0', bus, storage: FORGETFUL },
      ...{ clock: this.clock, random: this.#random, digest: systemDigest, log: SILENT },
      // Nothing of these agents but their tasks is simulated.
      times: { leaseMs: 86_400_000 },
      onFatal: (error: unknown) => {
        throw error;
      },
    });
    let up = false;
    void starting.then(() => {
      up = true;
    });
    await this.clock.until(() => up);
    for (let at = 0; at < agents; at++)
      this.#agents.push(new Agent(this.bus(`agent:a${at}~1`), this.clock, this.#random, `a${at}`));
    await this.clock.until(() => this.#agents.every(({ epoch }) => epoch > 0));
  }

  /** A framework that always wants more. */
  greedy(name: string): void {
    let tasks = 0;
    const take = (offer: Offer): TaskLaunch[] => {
      const launches: TaskLaunch[] = [];
      let left = offer.resources;
      for (
        let packed = pack({ resources: NEEDS }, left);
        packed !== undefined;
        packed = pack({ resources: NEEDS }, left)
      ) {
        left = packed.left;
        launches.push({ task: `t${tasks++}`, attempt: 0, argv: ['true'], resources: packed.taken });
      }
      return launches;
    };
    const scheduler: Scheduler = {
      registered: ignore,
      reregistered: ignore,
      resourceOffers: (driver, offers) => {
        for (const offer of offers) {
          const launches = take(offer);
          this.#launched += launches.length;
          if (launches.length > 0) driver.launchTasks([offer.offer], launches);
          else driver.declineOffer(offer.offer);
        }
      },
      statusUpdate: ignore,
    };
    const bus = this.bus(`framework:${name}`);
    const terms = { wishes: [{ role: name, shape: 'cpus:1;mem:32' }] };
    createSchedulerDriver({
      bus,
      name,
      roles: [name],
      scheduler,
      terms,
      clock: this.clock,
      random: this.#random,
    }).start();
  }

  async batch(): Promise<void> {
    const bus = this.bus('framework:batch');
    createSchedulerDriver({
      ...{ bus, name: 'batch', roles: [], scheduler: createBatch({ clock: this.clock }), clock: this.clock },
      ...{ random: this.#random, explicitAcknowledgements: true },
    }).start();
    await this.clock.advance(1_000);
  }

  /** The job has its owner's name. */
  async submit(owner: string, count: number): Promise<void> {
    const bus = this.bus(`client:${owner}/s`);
    const client = createClient({ bus, name: owner, session: 's', clock: this.clock, random: this.#random });
    const spec = {
      ...{ job: owner, argv: ['true'], environment: {}, count, resources: [...NEEDS], ports: 0, constraints: [] },
      ...{ restart: 'never' as const, retries: 0, requeue: true },
    };
    let answered = false;
    void client.request('submit', spec, { framework: 'batch' }).then((answer) => {
      if (answer instanceof Fault) throw answer;
      answered = true;
    });
    await this.clock.until(() => answered);
  }

  async shares(whose: (task: Placed) => string): Promise<Shares> {
    const began = Date.now();
    await this.clock.advance(MINUTE_MS);
    const sums = new Map<string, number>();
    for (let second = 0; second < MINUTE_MS / 1_000; second++) {
      await this.clock.advance(1_000);
      for (const agent of this.#agents)
        for (const task of agent.running) sums.set(whose(task), (sums.get(whose(task)) ?? 0) + 1);
    }
    const total = [...sums.values()].reduce((sum, each) => sum + each, 0);
    const ideal = total / sums.size;
    const deviations = [...sums.values()].map((each) => Math.abs(each - ideal) / ideal);
    return {
      worst: Math.max(...deviations),
      mean: deviations.reduce((sum, each) => sum + each, 0) / deviations.length,
      tasks: this.#agents.reduce((sum, agent) => sum + agent.started, 0),
      seconds: (Date.now() - began) / 1_000,
    };
  }
}

/** Says of every task that it runs, and some 30 s later that it has finished. */
class Agent {
  readonly running = new Set<Placed>();
  epoch = 0;
  started = 0;
  readonly #bus: SimulatedBus;
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #name: string;

  constructor(bus: SimulatedBus, clock: VirtualClock, random: SeededRandom, name: string) {
    this.#bus = bus;
    this.#clock = clock;
    this.#random = random;
    this.#name = name;
    void bus.subscribe(topicOf('mesq', { kind: 'down', name }), 1, ({ payload }) => this.#hear(payload));
    bus.onConnected(() => this.#register());
  }

  #register(): void {
    this.#say({
      ...{ type: 'REGISTER', agent: `id-${this.#name}`, name: this.#name, incarnation: 'i', counter: 1 },
      ...{ identity: { machine: `m-${this.#name}`, serial: '' }, hostname: this.#name, boot: 'b', metered: false },
      ...{ versions: { min: PROTOCOL.min, max: PROTOCOL.max, features: [] }, attributes: [], tasks: [], part: 0 },
      resources: resources(`cpus:${SLOTS};mem:1024`),
      last: true,
    });
  }

  #hear(payload: Uint8Array): void {
    const taken = read(AGENT_DOWN, payload);
    if (taken instanceof Fault) throw taken;
    const { message } = taken;
    if (message.type === 'REGISTERED') this.epoch = message.epoch;
    if (message.type !== 'RUN') return;
    for (const task of message.tasks) {
      if ([...this.running].some((one) => one.framework === task.framework && one.info.task === task.info.task))
        continue;
      this.running.add(task);
      this.started++;
      this.#update(task, 1, 'TASK_RUNNING');
      this.#clock.after(20_000 + this.#random.next() * 20_000, () => {
        this.running.delete(task);
        this.#update(task, 2, 'TASK_FINISHED');
      });
    }
    if (this.running.size > SLOTS) throw new Error(`${this.#name} is over-allocated`);
  }

  #update({ framework, info }: Placed, sequence: number, state: TaskState): void {
    const { task, attempt } = info;
    const uuid = `${task}-${sequence}`;
    const update = { framework, task, attempt, restart: 0, uuid, sequence, state };
    this.#say({ type: 'UPDATE', epoch: this.epoch, updates: [update] });
  }

  #say(message: Outgoing<typeof AGENT_UP>): void {
    void this.#bus.publish(topicOf('mesq', { kind: 'up', name: this.#name }), write(AGENT_UP, message), { qos: 1 });
  }
}

function resources(text: string): Resources {
  const parsed = parseResources(text);
  if (parsed instanceof Fault) throw parsed;
  return parsed;
}

function ignore(): void {}
