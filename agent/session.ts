import type { MovableBus } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { Random } from '../io/random.ts';
import type { Storage } from '../io/storage.ts';
import {
  AGENT_DOWN,
  AGENT_UP,
  type Fence,
  type Identity,
  type KnownTask,
  PRESENCE,
  taskDigest,
} from '../protocol/agent-link.ts';
import { check, cut, type MessageOf, type Outgoing, PROTOCOL, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { isTerminal } from '../protocol/task.ts';
import { LeaderDocument, topicOf } from '../protocol/topics.ts';
import { hasEnded } from './checkpoint/state.ts';
import type { DurableState } from './durable-state.ts';
import { nextLeader } from './leader-choice.ts';
import type { Reported } from './reporting/significance.ts';

type Down = MessageOf<typeof AGENT_DOWN>;
export type Command = Exclude<Down, { type: 'REGISTERED' | 'RESUMED' | 'REFUSED' }>;

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** After a refusal that a person must mend. */
const REFUSED_RETRY_MS = 60_000;
const CLUSTER_FILE = 'cluster.json';

export interface SessionWorld {
  readonly bus: MovableBus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly storage: Storage;
  readonly durable: DurableState;
  readonly prefix: string;
  readonly name: string;
  readonly agent: string;
  /** Minted at random, once a process. */
  readonly incarnation: string;
  readonly identity: Identity;
  readonly boot: string;
  readonly hostname: string;
  readonly metered: boolean;
  /** URLs it was configured with: it moves to no other host. */
  readonly urls: readonly string[];
}

/** What the agent does when its session changes. */
export interface SessionListener {
  /** Registered or resumed: from now on commands come. */
  readonly established: () => void;
  readonly lost: () => void;
  readonly command: (command: Command) => void;
  /** Refused, and never registered in this process: for the person who started it. */
  readonly refused: (fault: Fault) => void;
}

/**
 * The agent's side of the link: follows the leader, registers or resumes, sends with its epoch, and lets no command of
 * an older leader, session or another cluster through (DESIGN §3, Fencing).
 */
export class Session {
  readonly #world: SessionWorld;
  readonly #listener: SessionListener;
  #cluster: { uuid: string; generation: number } | undefined;
  #reported: Reported;
  #leader: { generation: number; term: number } | undefined;
  /** Hello sent, not answered: launches are refused meanwhile, so that the list it holds is exact. */
  #greeting: 'none' | 'register' | 'resume' = 'none';
  #established = false;
  #everEstablished = false;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #renew: Timer | undefined;
  #connections = 0;

  constructor(world: SessionWorld, reported: Reported, listener: SessionListener) {
    this.#world = world;
    this.#reported = reported;
    this.#listener = listener;
  }

  get established(): boolean {
    return this.#established;
  }

  /** The will of the next connection. */
  presence(online: boolean): { topic: string; payload: Uint8Array; qos: 1 } {
    const { prefix, name, incarnation } = this.#world;
    const session = this.#connections + (online ? 0 : 1);
    return {
      topic: topicOf(prefix, { kind: 'presence', name }),
      payload: write(PRESENCE, { type: 'PRESENCE', incarnation, session, online }),
      qos: 1,
    };
  }

  async start(): Promise<void> {
    const { bus, prefix, name, storage } = this.#world;
    const known = await storage.read(CLUSTER_FILE);
    if (known !== undefined)
      this.#cluster = JSON.parse(new TextDecoder().decode(known)) as { uuid: string; generation: number };
    bus.onDisconnected((reason) => this.#disconnected(reason));
    await bus.subscribe(topicOf(prefix, { kind: 'down', name }), 1, ({ payload }) => this.#down(payload));
    await bus.subscribe(topicOf(prefix, { kind: 'leader' }), 1, ({ payload }) => this.#leaderSays(payload));
    bus.onConnected(() => this.#connected());
  }

  async stop(): Promise<void> {
    this.#retry?.cancel();
    this.#renew?.cancel();
    const { topic, payload } = { ...this.presence(true) };
    if (this.#world.bus.connected) {
      const offline = write(PRESENCE, {
        type: 'PRESENCE',
        incarnation: this.#world.incarnation,
        session: this.#connections,
        online: false,
      });
      await this.#world.bus.publish(topic, payload.length > 0 ? offline : payload, { qos: 1 }).catch(() => undefined);
    }
    await this.#world.bus.close();
  }

  /** Sends to the leader; false where there is no session. What is lost is repeated by whoever wanted it. */
  send(message: Outgoing<typeof AGENT_UP>): boolean {
    if (!this.#established) return false;
    this.#publish(message);
    return true;
  }

  /** The machine has changed. */
  report(reported: Reported): void {
    this.#reported = reported;
    this.send({ type: 'REPORT', epoch: this.#world.durable.state.epoch, ...reported });
  }

  /** Answers RECONCILE. */
  tasks(request: string): void {
    const parts = cut(this.#known(), LIMITS.partBytes, 500);
    parts.forEach((tasks, part) => {
      this.send({
        type: 'TASKS',
        epoch: this.#world.durable.state.epoch,
        request,
        tasks,
        part,
        last: part === parts.length - 1,
      });
    });
  }

  #publish(message: Outgoing<typeof AGENT_UP>): void {
    const { bus, prefix, name, log } = this.#world;
    bus.publish(topicOf(prefix, { kind: 'up', name }), write(AGENT_UP, message), { qos: 1 }).catch((error: unknown) => {
      log.debug('message not sent', { type: message.type, error: String(error) });
    });
  }

  #connected(): void {
    this.#connections++;
    const { topic, payload } = this.presence(true);
    this.#world.bus.publish(topic, payload, { qos: 1 }).catch(() => undefined);
    this.#retryMs = FIRST_RETRY_MS;
    if (this.#leader !== undefined) this.#greet();
  }

  #disconnected(reason: string): void {
    this.#world.log.info('disconnected', { reason });
    this.#leader = undefined;
    this.#over();
  }

  #over(): void {
    this.#retry?.cancel();
    this.#renew?.cancel();
    this.#greeting = 'none';
    if (!this.#established) return;
    this.#established = false;
    this.#listener.lost();
  }

  #leaderSays(payload: Uint8Array): void {
    const { bus, urls, log } = this.#world;
    if (payload.length === 0) return;
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder().decode(payload));
    } catch {
      return log.debug('leader document is not JSON');
    }
    const document = check(LeaderDocument, value);
    if (document instanceof Fault) return log.debug('leader document refused', { message: document.message });
    const choice = nextLeader(this.#leader, document, bus.url, urls);
    if (choice.kind === 'ignore') return;
    this.#leader = choice.leader;
    if (choice.kind === 'wait') return this.#over();
    if (choice.kind === 'move') {
      this.#world.clock.after(Math.floor(this.#world.random.next() * choice.spreadMs), () => bus.moveTo(choice.url));
      return;
    }
    this.#over();
    this.#greet();
  }

  /** Resumes its session, or registers for one. */
  #greet(): void {
    const { durable, boot } = this.#world;
    const { state } = durable;
    if (this.#cluster !== undefined && state.epoch > 0 && state.boot === boot) this.#resume(this.#cluster);
    else void this.#register();
  }

  #resume(cluster: { uuid: string; generation: number }): void {
    const { durable, agent, identity, incarnation, boot } = this.#world;
    this.#greeting = 'resume';
    const open = [...durable.state.runs.values()].filter(
      (run) => run.latest !== undefined && !(hasEnded(run) && run.unacknowledged.length === 0),
    );
    const told = open.filter(
      (run) => run.acknowledged > 0 && !this.#endAcknowledged(run.unacknowledged, run.latest?.state),
    );
    this.#publish({
      type: 'RESUME',
      agent,
      epoch: durable.state.epoch,
      identity,
      incarnation,
      cluster,
      boot,
      ...this.#reported,
      digest: taskDigest(told.map(({ framework, info }) => ({ framework, task: info.task, attempt: info.attempt }))),
    });
    this.#again(() => this.#resume(cluster));
  }

  /** Its end has been told and acknowledged: no master counts it any more. */
  #endAcknowledged(unacknowledged: readonly unknown[], state: string | undefined): boolean {
    return unacknowledged.length === 0 && state !== undefined && isTerminal(state as 'TASK_FINISHED');
  }

  /** The counter is durable before it is sent: no two registrations share one. */
  async #register(): Promise<void> {
    const { durable, agent, name, identity, incarnation, boot, hostname, metered, log } = this.#world;
    this.#greeting = 'register';
    const counter = durable.state.counter + 1;
    try {
      await durable.commit([{ kind: 'COUNTER', counter, boot }]);
    } catch (error) {
      log.error('registration not written', { error: String(error) });
      return this.#again(() => void this.#register());
    }
    if (this.#greeting !== 'register' || durable.state.counter !== counter) return;
    this.#sendRegister(counter, { agent, name, identity, incarnation, hostname, boot, metered });
  }

  #sendRegister(
    counter: number,
    about: {
      agent: string;
      name: string;
      identity: Identity;
      incarnation: string;
      hostname: string;
      boot: string;
      metered: boolean;
    },
  ): void {
    const parts = cut(this.#known(), LIMITS.partBytes / 2, 500);
    parts.forEach((tasks, part) => {
      this.#publish({
        type: 'REGISTER',
        ...about,
        counter,
        versions: { min: PROTOCOL.min, max: PROTOCOL.max, features: [] },
        ...this.#reported,
        ...(this.#cluster === undefined ? {} : { cluster: this.#cluster }),
        tasks,
        part,
        last: part === parts.length - 1,
      });
    });
    this.#again(() => this.#sendRegister(counter, about));
  }

  /** Every run whose end no master has acknowledged. */
  #known(): KnownTask[] {
    return [...this.#world.durable.state.runs.values()]
      .filter((run) => !(hasEnded(run) && run.unacknowledged.length === 0))
      .map((run) => ({
        framework: run.framework,
        task: run.info.task,
        attempt: run.info.attempt,
        restart: run.restart,
        state: run.latest !== undefined && !isTerminal(run.latest.state) ? run.latest.state : 'TASK_STARTING',
        sequence: run.acknowledged,
        resources: run.info.resources,
      }));
  }

  #again(greet: () => void): void {
    this.#retry?.cancel();
    this.#retry = this.#world.clock.after(this.#retryMs, greet);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #down(payload: Uint8Array): void {
    if (payload.length === 0) return;
    const taken = read(AGENT_DOWN, payload);
    if (taken instanceof Fault)
      return this.#world.log.debug('command refused', { code: taken.code, message: taken.message });
    const { message } = taken;
    if (message.type === 'REFUSED') return this.#refused(message.fault, message.register);
    if (message.type === 'READ') return this.#established ? this.#listener.command(message) : undefined;
    if (!this.#fresh(message, message.type === 'REGISTERED')) return;
    if (message.type === 'REGISTERED') return void this.#registered(message);
    if (message.type === 'RESUMED')
      return this.#greeting === 'resume' && message.epoch === this.#world.durable.state.epoch
        ? this.#establish(message.renewMs)
        : undefined;
    if (message.epoch !== this.#world.durable.state.epoch || !this.#established) {
      return this.#world.log.debug('command of another session', { type: message.type, epoch: message.epoch });
    }
    this.#listener.command(message);
  }

  /** Refuses another cluster aloud, and whatever is older than the newest leadership heard; remembers a newer one. */
  #fresh(fence: Fence, joining: boolean): boolean {
    const { durable, log } = this.#world;
    const { state } = durable;
    if (this.#cluster !== undefined && fence.cluster !== this.#cluster.uuid) {
      const fault = new Fault(
        'OTHER_CLUSTER',
        `cluster ${fence.cluster} commands this agent, which belongs to ${this.#cluster.uuid}`,
      );
      log.error(fault.message, { code: fault.code, hint: fault.hint });
      return false;
    }
    if (this.#cluster === undefined && !joining) return false;
    if (fence.generation < state.generation || (fence.generation === state.generation && fence.term < state.term)) {
      log.debug('command of an older leader', { generation: fence.generation, term: fence.term });
      return false;
    }
    if (fence.generation > state.generation || fence.term > state.term) {
      durable
        .commit([{ kind: 'FENCE', generation: fence.generation, term: fence.term }])
        .catch((error: unknown) => log.warn('fence not written', { error: String(error) }));
    }
    return true;
  }

  async #registered(message: Extract<Down, { type: 'REGISTERED' }>): Promise<void> {
    const { durable, storage, incarnation, log } = this.#world;
    if (
      this.#greeting !== 'register' ||
      message.incarnation !== incarnation ||
      message.counter !== durable.state.counter
    )
      return;
    const cluster = { uuid: message.cluster, generation: message.generation };
    try {
      if (this.#cluster?.uuid !== cluster.uuid || this.#cluster.generation !== cluster.generation) {
        await storage.replace(CLUSTER_FILE, new TextEncoder().encode(`${JSON.stringify(cluster)}\n`));
      }
      await durable.commit([{ kind: 'REGISTERED', epoch: message.epoch }]);
    } catch (error) {
      return log.error('registration not kept', { error: String(error) });
    }
    this.#cluster = cluster;
    log.info('registered', { agent: message.agent, epoch: message.epoch, cluster: cluster.uuid });
    this.#establish(message.renewMs);
  }

  #establish(renewMs: number | undefined): void {
    this.#retry?.cancel();
    this.#retryMs = FIRST_RETRY_MS;
    this.#greeting = 'none';
    this.#everEstablished = true;
    if (renewMs !== undefined) this.#armRenew(renewMs);
    if (this.#established) return;
    this.#established = true;
    this.#listener.established();
  }

  #armRenew(renewMs: number): void {
    this.#renew?.cancel();
    this.#renew = this.#world.clock.after(renewMs, () => {
      this.send({ type: 'RENEW', epoch: this.#world.durable.state.epoch });
      this.#armRenew(renewMs);
    });
  }

  #refused(fault: Fault, again: boolean): void {
    const { log } = this.#world;
    if (again) {
      this.#over();
      this.#greeting = 'register';
      return void this.#register();
    }
    log.error(fault.message, { code: fault.code, hint: fault.hint });
    if (fault.code === 'STALE') return;
    this.#over();
    if (!this.#everEstablished) return this.#listener.refused(fault);
    this.#retry = this.#world.clock.after(REFUSED_RETRY_MS, () => this.#greet());
  }
}
