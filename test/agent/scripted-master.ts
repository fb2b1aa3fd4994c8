import type { Bus } from '../../io/bus.ts';
import type { Clock } from '../../io/clock.ts';
import { systemPacking } from '../../io/node/message-packing.ts';
import {
  AGENT_DOWN,
  AGENT_UP,
  BULK,
  type Chunk,
  type KnownTask,
  PRESENCE,
  taskDigest,
} from '../../protocol/agent-link.ts';
import { type MessageOf, type Outgoing, read, write } from '../../protocol/envelope.ts';
import type { ExecOutput } from '../../protocol/exec.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { isPacked, type PackingFacts, packed, unpacked } from '../../protocol/packing.ts';
import { isTerminal, type TaskInfo, type TaskStatus } from '../../protocol/task.ts';
import { topicOf } from '../../protocol/topics.ts';

type Up = MessageOf<typeof AGENT_UP>;

export interface Placed {
  readonly info: TaskInfo;
  answered: boolean;
  refused: Fault | undefined;
  kill: { graceMs?: number } | undefined;
  /** As the master took them: in order, each number once. */
  readonly updates: TaskStatus[];
}

const FRAMEWORK = 'batch';

/** A master of one agent, as the agent sees one: leads, registers, repeats what is not answered, acknowledges. */
export class ScriptedMaster {
  readonly cluster: string;
  generation = 0;
  term = 1;
  epoch = 0;
  /** Everything heard, in order. */
  readonly heard: Up[] = [];
  readonly presence: { incarnation: string; session: number; online: boolean }[] = [];
  readonly chunks: Chunk[] = [];
  readonly execOutputs: ExecOutput[] = [];
  readonly placed = new Map<string, Placed>();
  /** Registrations are answered with this. */
  refusal: Fault | undefined;
  /** False: hears and says nothing. */
  answering = true;
  /** False: updates are taken and not acknowledged. */
  acknowledging = true;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #name: string;
  #registration: { key: string; tasks: KnownTask[] } | undefined;
  #last: { key: string; epoch: number } | undefined;

  constructor(bus: Bus, clock: Clock, name: string, cluster = 'cluster-1') {
    this.#bus = bus;
    this.#clock = clock;
    this.#name = name;
    this.cluster = cluster;
    const take = (kind: 'up' | 'presence' | 'agentBulk', taker: (payload: Uint8Array) => void) =>
      void bus.subscribe(topicOf('mesq', { kind, name }), 1, ({ payload }) => taker(payload));
    take('up', (payload) => this.#up(payload));
    take('presence', (payload) => {
      const taken = read(PRESENCE, payload);
      assert(!(taken instanceof Fault), 'presence can be read');
      this.presence.push(taken.message);
    });
    take('agentBulk', (payload) => {
      const taken = read(BULK, payload);
      assert(!(taken instanceof Fault), 'a chunk can be read');
      if (taken.message.type === 'CHUNK') this.chunks.push(taken.message);
      else this.execOutputs.push(taken.message);
    });
    bus.onConnected(() => this.lead());
    this.#repeat();
  }

  /** Says who leads: this master, with `urls`, or nobody. */
  lead(leader: string | null = 'm1', urls: string[] = [], spreadMs = 0): void {
    const { cluster, generation, term } = this;
    const document = { v: 1, cluster, generation, term, leader, urls, spreadMs };
    const bytes = new TextEncoder().encode(JSON.stringify(document));
    void this.#bus.publish('mesq/leader', bytes, { qos: 1, retain: true });
    void this.#bus.publish('mesq/news', bytes, { qos: 1 });
  }

  /** Places a task on the agent, and sends the launch until it is answered. */
  place(task: string, about: Partial<TaskInfo> & { argv: string[] }): Placed {
    const info: TaskInfo = { task, attempt: 0, resources: [], restart: 'never', killGraceMs: 3_000, ...about };
    const placed: Placed = { info, answered: false, refused: undefined, kill: undefined, updates: [] };
    this.placed.set(`${task}.${info.attempt}`, placed);
    this.#run([placed]);
    return placed;
  }

  kill(task: string, graceMs?: number): void {
    const placed = this.placed.get(`${task}.0`);
    assert(placed !== undefined, `${task} was placed`);
    placed.kill = graceMs === undefined ? {} : { graceMs };
    this.#kills([placed]);
  }

  /** Sends under the present fence, or one of its own. */
  command(message: Record<string, unknown> & { type: string }): void {
    const { cluster, generation, term, epoch } = this;
    const fenced = { cluster, generation, term, index: 1, epoch, ...message };
    this.raw(write(AGENT_DOWN, fenced as unknown as Outgoing<typeof AGENT_DOWN>));
  }

  raw(plain: Uint8Array): void {
    const payload = this.packing ? packed(plain, this.facts, systemPacking) : plain;
    this.#bus.publish(topicOf('mesq', { kind: 'down', name: this.#name }), payload, { qos: 1 }).catch(() => undefined);
  }

  states(task: string, attempt = 0): string[] {
    return this.placed.get(`${task}.${attempt}`)?.updates.map(({ state }) => state) ?? [];
  }

  last(task: string, attempt = 0): TaskStatus | undefined {
    return this.placed.get(`${task}.${attempt}`)?.updates.at(-1);
  }

  ended(task: string): boolean {
    const last = this.last(task);
    return last !== undefined && isTerminal(last.state);
  }

  of<Type extends Up['type']>(type: Type): Extract<Up, { type: Type }>[] {
    return this.heard.filter((message): message is Extract<Up, { type: Type }> => message.type === type);
  }

  #repeat(): void {
    this.#clock.after(5_000, () => {
      const open = [...this.placed.values()].filter(({ updates }) => !updates.some(({ state }) => isTerminal(state)));
      if (this.answering && this.#bus.connected && this.epoch > 0) {
        this.#run(open.filter(({ answered, refused }) => !answered && refused === undefined));
        this.#kills(open.filter(({ kill }) => kill !== undefined));
      }
      this.#repeat();
    });
  }

  #run(placed: readonly Placed[]): void {
    if (placed.length > 0) {
      this.command({ type: 'RUN', tasks: placed.map(({ info }) => ({ framework: FRAMEWORK, info })) });
    }
  }

  #kills(placed: readonly Placed[]): void {
    if (placed.length === 0) return;
    const tasks = placed.map(({ info, kill }) => ({
      framework: FRAMEWORK,
      task: info.task,
      attempt: info.attempt,
      ...kill,
    }));
    this.command({ type: 'KILL', tasks });
  }

  #up(payload: Uint8Array): void {
    const isShort = isPacked(payload);
    if (isShort) this.packedHeard++;
    // A version that packs nothing finds no message in it.
    const plain = isShort && this.packs !== undefined ? unpacked(payload, this.facts, systemPacking) : payload;
    if (isShort && this.answering && this.packs === undefined) return this.#refuse(new Fault('BAD_ENCODING'), false);
    const taken = read(AGENT_UP, plain ?? payload);
    assert(!(taken instanceof Fault), `what an agent says can be read: ${taken instanceof Fault ? taken.message : ''}`);
    if (!this.answering) return;
    const { message } = taken;
    this.heard.push(message);
    this.packing = isShort;
    if (message.type === 'REGISTER') return this.#register(message);
    if (message.type === 'RESUME') return this.#resume(message);
    if (message.epoch !== this.epoch) {
      return this.#refuse(new Fault('NOT_REGISTERED'), true);
    }
    if (message.type === 'ACCEPTED') {
      for (const { task, attempt } of message.tasks) {
        const placed = this.placed.get(`${task}.${attempt}`);
        if (placed !== undefined) placed.answered = true;
      }
      for (const { task, attempt, fault } of message.refused) {
        const placed = this.placed.get(`${task}.${attempt}`);
        if (placed !== undefined) placed.refused = fault;
      }
    }
    if (message.type === 'UPDATE') this.#updates(message.updates);
  }

  #updates(updates: readonly TaskStatus[]): void {
    const acknowledged: string[] = [];
    for (const update of updates) {
      const placed = this.placed.get(`${update.task}.${update.attempt}`);
      const sequence = placed?.updates.length ?? 0;
      if (update.sequence > sequence + 1) continue;
      acknowledged.push(update.uuid);
      if (update.sequence === sequence + 1) placed?.updates.push(update);
    }
    if (this.acknowledging) this.command({ type: 'ACKNOWLEDGE', updates: acknowledged });
  }

  #register(message: Extract<Up, { type: 'REGISTER' }>): void {
    if (this.refusal !== undefined) return this.#refuse(this.refusal, false);
    const { incarnation, counter, part, last } = message;
    this.facts = { cluster: this.cluster, agent: message.agent, boot: message.boot };
    const key = `${incarnation} ${counter}`;
    const before =
      part === 0 ? [] : this.#registration?.key === `${key} ${part}` ? this.#registration.tasks : undefined;
    if (before === undefined) return;
    const tasks = [...before, ...message.tasks];
    this.#registration = { key: `${key} ${part + 1}`, tasks };
    if (!last) return;
    if (this.#last?.key !== key) this.#last = { key, epoch: Math.max(this.epoch, this.#last?.epoch ?? 0) + 1 };
    this.epoch = this.#last.epoch;
    const listed = new Set(tasks.map(({ task, attempt }) => `${task}.${attempt}`));
    for (const [name, placed] of this.placed) {
      if (placed.answered && !listed.has(name) && !placed.updates.some(({ state }) => isTerminal(state))) {
        assert(false, `a task that was accepted is listed: ${name}`);
      }
    }
    this.command({ type: 'REGISTERED', agent: message.agent, version: 1, incarnation, counter, ...this.bears });
  }

  #resume(message: Extract<Up, { type: 'RESUME' }>): void {
    if (message.epoch !== this.epoch) return this.#refuse(new Fault('NOT_REGISTERED'), true);
    const report = message.reported !== (this.reported ?? message.reported);
    this.command({ type: 'RESUMED', agent: message.agent, ...this.bears, ...(report ? { report } : {}) });
    if (message.digest !== this.digest()) this.command({ type: 'RECONCILE', request: 'r1' });
  }

  /** The longest keep-alive that it bears; undefined: a master of before, which names none. */
  keepAliveMs: number | undefined;

  /** Takes a brief RESUME, and says so; false: a master of before. */
  brief = false;
  /** Takes RESUME for the first word of a connection, and says so. */
  opens = false;
  /** The dictionary that it packs with, and says so; undefined: none. */
  packs: number | undefined;
  /** Messages that came packed. */
  packedHeard = 0;
  /** Says so itself, as who spoke last did. */
  packing = false;
  facts: PackingFacts = { cluster: '', agent: '', boot: '' };
  /** What it believes the agent has reported; undefined: the same. */
  reported: string | undefined;

  get bears(): { keepAliveMs?: number; brief?: true; opens?: true; packs?: number } {
    return {
      ...(this.keepAliveMs === undefined ? {} : { keepAliveMs: this.keepAliveMs }),
      ...(this.brief ? { brief: true } : {}),
      ...(this.opens ? { opens: true } : {}),
      ...(this.packs === undefined ? {} : { packs: this.packs }),
    };
  }

  /** What it thinks the agent has. */
  digest(): string {
    const live = [...this.placed.values()].filter(
      ({ updates }) => updates.length > 0 && !updates.some(({ state }) => isTerminal(state)),
    );
    return taskDigest(live.map(({ info }) => ({ framework: FRAMEWORK, task: info.task, attempt: info.attempt })));
  }

  #refuse(fault: Fault, register: boolean): void {
    this.raw(write(AGENT_DOWN, { type: 'REFUSED', fault, register }));
  }
}
