import { BrokerPatience } from '../io/broker-patience.ts';
import type { MovableBus, Opening } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { MessagePacking } from '../io/compression.ts';
import type { Log } from '../io/log.ts';
import type { Random } from '../io/random.ts';
import type { Storage } from '../io/storage.ts';
import { AGENT_DOWN, type AGENT_UP, type Identity } from '../protocol/agent-link.ts';
import { check, decode, type MessageOf, type Outgoing, read } from '../protocol/envelope.ts';
import { Fault, type FaultCode } from '../protocol/faults.ts';
import { chooseLeader, type LeaderChoice, type Leadership } from '../protocol/leader-choice.ts';
import { TIMES } from '../protocol/limits.ts';
import { PACKING } from '../protocol/packing.ts';
import { LeaderDocument, topicOf } from '../protocol/topics.ts';
import type { DurableState } from './durable-state.ts';
import { registration, resumption, taskList } from './greetings.ts';
import { KeepAlive } from './keep-alive.ts';
import { type Cluster, Membership } from './membership.ts';
import type { PresenceNotes } from './presence.ts';
import type { Reported } from './reporting/significance.ts';
import { UpLink } from './up-link.ts';

type Down = MessageOf<typeof AGENT_DOWN>;
type Resumed = Extract<Down, { type: 'RESUMED' }>;
export type Command = Exclude<Down, { type: 'REGISTERED' | 'RESUMED' | 'REFUSED' }>;

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** After a refusal that a person must mend. */
const REFUSED_RETRY_MS = 60_000;
/** Commands that wait while a registration is written down. */
const HELD_COMMANDS = 1_000;
/** No document keeps an agent away for longer. */
const SPREAD_MS = 600_000;
/** A greeting is so much less work than a connection. */
const GREETINGS_A_MOVE = 8;
/** At least over so long do a few agents move: a person's command, sent away at the same moment, is served before. */
const GIVE_WAY_MS = 200;
/** What only a person can mend: worth ending the process for, if that person may be looking at it. */
const ENDING: ReadonlySet<FaultCode> = new Set(['CLONED', 'OTHER_CLUSTER', 'GONE', 'NAME_TAKEN']);
/**
 * One message alone was refused, and the session stands: a master of another version does not know all of ours; a delayed
 * copy of an older registration is STALE, and the newer one has been answered, or will be.
 */
const ABOUT_A_MESSAGE: ReadonlySet<FaultCode> = new Set([
  'STALE',
  'UNKNOWN_TYPE',
  'BAD_SHAPE',
  'BAD_ENCODING',
  'TOO_LARGE',
]);

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
  readonly presence: PresenceNotes;
  readonly identity: Identity;
  readonly boot: string;
  readonly hostname: string;
  readonly metered: boolean;
  /** What it says is packed where the leader takes that; absent: never. */
  readonly packing: MessagePacking | undefined;
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
 * an older leader, session or another cluster through (docs/protocol.md, Fencing).
 */
export class Session {
  readonly #world: SessionWorld;
  readonly #listener: SessionListener;
  readonly #membership: Membership;
  readonly #up: UpLink;
  #reported: Reported;
  /** The newest document heard on this connection. */
  #leader: Leadership | undefined;
  /** The broker it is connected to leads, as far as it knows. */
  #leads = false;
  #approach: Timer | undefined;
  /** Runs while no leader is known, or it does not answer. */
  readonly #patience: BrokerPatience;
  /** A registration is being written down; what comes meanwhile waits. */
  #held: Uint8Array[] | undefined;
  /** Hello sent, not answered: launches are refused meanwhile, so that the list it holds is exact. */
  #greeting: 'none' | 'register' | 'resume' = 'none';
  #established = false;
  #everEstablished = false;
  #retry: Timer | undefined;
  #retryMs = FIRST_RETRY_MS;
  #renew: Timer | undefined;
  readonly #keepAlive: KeepAlive;
  /** The leadership that knows this process and what it reports: it can be greeted briefly. */
  #knownTo: Leadership | undefined;
  #unlisten: (() => void) | undefined;
  /** The broker at which that leadership watches connections itself: it may be spoken to at once ({@link opening}). */
  #home: string | undefined;
  /** This connection began with a RESUME that has not been answered. */
  #opened = false;
  /** On this connection nobody has asked who leads. */
  #unasked = false;
  /** The answer, where it came before the connection stood. */
  #answer: Resumed | undefined;
  /** Presence was said on this connection. */
  #present = false;
  /** What the last RESUME said of its keep-alive. */
  #saidMs: number | undefined;

  constructor(world: SessionWorld, reported: Reported, listener: SessionListener) {
    this.#world = world;
    this.#reported = reported;
    this.#listener = listener;
    this.#membership = new Membership(world);
    this.#up = new UpLink(world, () => this.#membership.cluster);
    const { bus, urls, clock, random, metered } = world;
    this.#keepAlive = new KeepAlive({ bus, metered, renew: (keepAliveMs) => this.#tell(keepAliveMs) });
    const { leaderlessMs: firstMs, leaderlessMaxMs: longestMs } = TIMES;
    this.#patience = new BrokerPatience({ bus, urls, clock, random, firstMs, longestMs });
  }

  get established(): boolean {
    return this.#established;
  }

  /** A fault where its folder is damaged. */
  async start(): Promise<Fault | undefined> {
    const { bus, prefix, name, metered } = this.#world;
    const fault = await this.#membership.read();
    if (fault !== undefined) return fault;
    bus.onDisconnected((reason) => this.#disconnected(reason));
    await bus.subscribe(topicOf(prefix, { kind: 'down', name }), 1, ({ payload }) => this.#down(payload));
    await this.#listen();
    // Without what is retained: after an opening nothing but changes is news.
    if (metered) await bus.subscribe(topicOf(prefix, { kind: 'news' }), 1, ({ payload }) => this.#leaderSays(payload));
    bus.onConnected(() => this.#connected());
    return undefined;
  }

  /** Asks who leads, and for every change of that. */
  async #listen(): Promise<void> {
    const { bus, prefix } = this.#world;
    this.#unasked = false;
    this.#unlisten?.();
    this.#unlisten = await bus.subscribe(topicOf(prefix, { kind: 'leader' }), 1, ({ payload }) =>
      this.#leaderSays(payload),
    );
  }

  async stop(): Promise<void> {
    const { bus } = this.#world;
    this.#approach?.cancel();
    this.#patience.end();
    this.#retry?.cancel();
    this.#renew?.cancel();
    // A polite leave sends no will.
    if (bus.connected) await this.#publishPresence(false);
    await bus.close();
  }

  #publishPresence(online: boolean): Promise<void> {
    const { bus, presence } = this.#world;
    return bus.publish(presence.topic, presence.note(online), { qos: 1 }).catch(() => undefined);
  }

  /**
   * What a metered agent says in one breath with CONNECT at the broker of the leadership that knows it: the brief RESUME,
   * which stands for its presence, too. Undefined where it has to find out first who leads.
   */
  opening(url: string): Opening | undefined {
    const { prefix, metered } = this.#world;
    const { cluster } = this.#membership;
    this.#opened =
      metered && url === this.#home && this.#knownTo !== undefined && cluster !== undefined && this.#resumes;
    this.#unasked = this.#opened;
    if (!this.#opened || cluster === undefined) return undefined;
    this.#greeting = 'resume';
    return {
      topic: this.#up.topic,
      payload: this.#up.written(this.#resumption(cluster, true)),
      without: [topicOf(prefix, { kind: 'leader' })],
    };
  }

  /**
   * Sends to the leader; false where there is no session. What is lost is repeated by whoever wanted it. `isAnswered`: the
   * leader answers it, and it is repeated otherwise; a metered link is spared the broker's word that it has it.
   */
  send(message: Outgoing<typeof AGENT_UP>, isAnswered = false): boolean {
    if (!this.#established) return false;
    this.#up.publish(message, isAnswered && this.#world.metered ? 0 : 1);
    return true;
  }

  /** The machine has changed. */
  report(reported: Reported): void {
    this.#reported = reported;
    this.send({ type: 'REPORT', epoch: this.#world.durable.state.epoch, ...reported });
  }

  /** Answers RECONCILE. */
  tasks(request: string): void {
    for (const part of taskList(this.#world, request)) this.send(part);
  }

  /** The leader hears how long the agent will be silent. */
  #tell(keepAliveMs: number): Promise<void> {
    return this.#up.deliver({ type: 'RENEW', epoch: this.#world.durable.state.epoch, keepAliveMs });
  }

  #connected(): void {
    this.#retryMs = FIRST_RETRY_MS;
    if (this.#opened) {
      this.#again(() => this.#begin());
      if (this.#answer !== undefined) this.#resumed(this.#answer);
    } else {
      // What it opened with was forgotten with the connection before.
      if (this.#unasked) void this.#listen();
      this.#begin();
    }
    // A master that was never told of its cluster says nothing at all.
    if (this.#leader === undefined && !this.#established) this.#await();
  }

  /** Step by step. */
  #begin(): void {
    if (this.#opened) {
      // Not answered: by now it may be another that leads.
      this.#knownTo = undefined;
      this.#opened = false;
      this.#greeting = 'none';
      void this.#listen();
    }
    this.#showPresence();
    if (this.#leads && this.#greeting === 'none' && !this.#established) this.#greet();
  }

  #showPresence(): void {
    if (this.#present) return;
    this.#present = true;
    void this.#publishPresence(true);
  }

  #disconnected(reason: string): void {
    this.#world.log.info('disconnected', { reason });
    this.#leader = undefined;
    this.#leads = false;
    this.#present = false;
    this.#over();
  }

  #over(): void {
    this.#approach?.cancel();
    this.#patience.end();
    this.#retry?.cancel();
    this.#renew?.cancel();
    this.#keepAlive.lost();
    this.#greeting = 'none';
    this.#opened = false;
    this.#answer = undefined;
    if (!this.#established) return;
    this.#established = false;
    this.#listener.lost();
  }

  #leaderSays(payload: Uint8Array): void {
    const { bus, urls, log, clock, random } = this.#world;
    if (payload.length === 0) return;
    const decoded = decode(payload);
    const document = decoded instanceof Fault ? decoded : check(LeaderDocument, decoded.value);
    if (document instanceof Fault) return log.debug('leader document refused', { message: document.message });
    const choice = chooseLeader(this.#leader, document, bus.url, urls);
    if (choice.kind === 'ignore') return;
    // The first document of a connection follows a reconnect, which has taken its own random time.
    const waitMs = this.#leader === undefined ? 0 : spreadOf(choice, document.spreadMs);
    const { generation, term, leader } = document;
    // Whoever is sent away hears of the same leader again, where it leads.
    this.#leader = { generation, term, leader: choice.kind === 'move' ? null : leader };
    this.#leads = choice.kind === 'greet';
    this.#over();
    const approach =
      choice.kind === 'greet'
        ? () => this.#greet()
        : choice.kind === 'move'
          ? () => bus.moveTo(choice.url)
          : () => this.#await();
    if (choice.kind === 'greet' && !bus.connected) return;
    if (waitMs === 0) approach();
    else this.#approach = clock.after(Math.floor(random.next() * waitMs), approach);
  }

  /** Stays connected for a while: an election is short. */
  #await(): void {
    const { bus, log } = this.#world;
    log.info('waiting for a leader', { url: bus.url, waitMs: this.#patience.begin() });
  }

  /** Resumes its session, or registers for one. */
  #greet(): void {
    // Reached under a name that no master advertises, it may be a follower that is taken for the leader.
    this.#patience.begin(TIMES.unansweredMs);
    this.#showPresence();
    const { cluster } = this.#membership;
    if (cluster !== undefined && this.#resumes) this.#resume(cluster, this.#isKnown(this.#leader));
    else void this.#register();
  }

  get #resumes(): boolean {
    const { durable, boot } = this.#world;
    return durable.state.epoch > 0 && durable.state.boot === boot;
  }

  /** Another leadership may be of a version that does not know the brief RESUME. */
  #isKnown(leader: Pick<Leadership, 'generation' | 'term'> | undefined): boolean {
    const { generation, term } = leader ?? {};
    return this.#knownTo !== undefined && this.#knownTo.generation === generation && this.#knownTo.term === term;
  }

  #resume(cluster: Cluster, brief: boolean): void {
    this.#greeting = 'resume';
    // Whoever is told everything may be of a version that packs nothing.
    if (!brief) this.#up.packs = false;
    this.#up.publish(this.#resumption(cluster, brief));
    this.#again(() => this.#resume(cluster, false));
  }

  #resumption(cluster: Cluster, brief: boolean): Outgoing<typeof AGENT_UP> {
    this.#saidMs = this.#keepAlive.wishMs;
    const style = { brief, opening: this.#opened, keepAliveMs: this.#saidMs };
    return resumption(this.#world, this.#reported, cluster, style);
  }

  /** The counter is durable before it is sent: no two registrations share one. */
  async #register(): Promise<void> {
    const { durable, log } = this.#world;
    this.#greeting = 'register';
    this.#up.packs = false;
    const counter = durable.state.counter + 1;
    try {
      await durable.commit([{ kind: 'COUNTER', counter }]);
    } catch (error) {
      log.error('registration not written', { error: String(error) });
      return this.#again(() => void this.#register());
    }
    if (this.#greeting !== 'register' || durable.state.counter !== counter) return;
    this.#sendRegister(counter);
  }

  #sendRegister(counter: number): void {
    const { cluster } = this.#membership;
    for (const part of registration(this.#world, this.#reported, cluster, counter)) this.#up.publish(part);
    this.#again(() => this.#sendRegister(counter));
  }

  #again(greet: () => void): void {
    this.#retry?.cancel();
    this.#retry = this.#world.clock.after(this.#retryMs, greet);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #down(payload: Uint8Array): void {
    if (payload.length === 0) return;
    if (this.#held !== undefined) {
      if (this.#held.length < HELD_COMMANDS) this.#held.push(payload);
      return;
    }
    const taken = read(AGENT_DOWN, this.#up.plain(payload));
    if (taken instanceof Fault)
      return this.#world.log.debug('command refused', { code: taken.code, message: taken.message });
    const { message } = taken;
    if (message.type === 'REFUSED') return this.#refused(message.fault, message.register);
    const { type } = message;
    if (type === 'READ' || type === 'READ_FILE' || type === 'EXEC' || type === 'ASK_STATS')
      return this.#established ? this.#listener.command(message) : undefined;
    if (!this.#membership.fresh(message, message.type === 'REGISTERED')) return;
    if (message.type === 'REGISTERED') return this.#registered(message);
    if (message.type === 'RESUMED')
      return this.#greeting === 'resume' && message.epoch === this.#world.durable.state.epoch
        ? this.#resumed(message)
        : undefined;
    // An agent that was declared gone gets no session any more in which it could be told.
    if (message.type === 'SHUTDOWN' && message.epoch >= this.#world.durable.state.epoch)
      return this.#listener.command(message);
    if (message.epoch !== this.#world.durable.state.epoch || !this.#established) {
      return this.#world.log.debug('command of another session', { type: message.type, epoch: message.epoch });
    }
    this.#listener.command(message);
  }

  #resumed(message: Resumed): void {
    if (!this.#world.bus.connected) {
      this.#answer = message;
      return;
    }
    this.#answer = undefined;
    if (this.#opened) {
      // Nobody else has said so on this connection: the broker is the one of before, and so is its master.
      const { generation, term } = message;
      this.#leader = { generation, term, leader: this.#knownTo?.leader ?? null };
      this.#leads = true;
      this.#opened = false;
    }
    this.#establish(message, this.#saidMs);
    if (message.report === true) this.report(this.#reported);
  }

  #registered(message: Extract<Down, { type: 'REGISTERED' }>): void {
    const { durable, presence } = this.#world;
    if (
      this.#greeting !== 'register' ||
      message.incarnation !== presence.incarnation ||
      message.counter !== durable.state.counter
    )
      return;
    this.#held = [];
    void this.#membership
      .keep({ uuid: message.cluster, generation: message.generation }, message.epoch)
      .then((kept) => {
        const held = this.#held ?? [];
        this.#held = undefined;
        // The connection may have broken meanwhile: then the next one resumes.
        if (kept && this.#greeting === 'register') this.#establish(message, undefined);
        for (const payload of held) this.#down(payload);
      });
  }

  #establish(
    { generation, term, renewMs, keepAliveMs, brief, opens, packs }: Omit<Resumed, 'type' | 'report'>,
    saidMs: number | undefined,
  ): void {
    this.#knownTo = brief === true ? { generation, term, leader: this.#leader?.leader ?? null } : undefined;
    this.#up.packs = packs === PACKING;
    this.#home = opens === true ? this.#world.bus.url : undefined;
    this.#retry?.cancel();
    this.#patience.rewarded();
    this.#retryMs = FIRST_RETRY_MS;
    this.#greeting = 'none';
    this.#everEstablished = true;
    if (renewMs !== undefined) this.#armRenew(renewMs);
    if (this.#established) return;
    this.#established = true;
    this.#world.bus.worked();
    this.#keepAlive.established(saidMs, keepAliveMs);
    this.#listener.established();
  }

  #armRenew(renewMs: number): void {
    this.#renew?.cancel();
    this.#renew = this.#world.clock.after(renewMs, () => {
      this.send({ type: 'RENEW', epoch: this.#world.durable.state.epoch });
      this.#armRenew(renewMs);
    });
  }

  #refused(fault: Fault, register: boolean): void {
    const { log, clock, bus } = this.#world;
    this.#patience.end();
    if (this.#opened) return bus.connected ? this.#begin() : undefined;
    if (register) {
      // One of several messages of a session that is no more: a registration under way answers them all.
      if (this.#greeting === 'register' || !this.#leads) return;
      this.#over();
      return void this.#register();
    }
    log.error(fault.message, { code: fault.code, hint: fault.hint });
    if (ABOUT_A_MESSAGE.has(fault.code)) {
      // Should it be the packing that was not understood, what is repeated is plain.
      this.#up.packs = false;
      return;
    }
    this.#over();
    if (ENDING.has(fault.code) && !this.#everEstablished) return this.#listener.refused(fault);
    this.#retry = clock.after(REFUSED_RETRY_MS, () => this.#greet());
  }
}

/** Over how long all that hear the same word go. Who is connected there already costs the leader a message or two. */
function spreadOf({ kind }: LeaderChoice, spreadMs: number): number {
  const allMs = Math.min(SPREAD_MS, Math.max(0, spreadMs));
  return kind === 'move' ? Math.max(GIVE_WAY_MS, allMs) : kind === 'greet' ? allMs / GREETINGS_A_MOVE : 0;
}
