import type { Timer } from '../io/clock.ts';
import type { Journal } from '../io/journal.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Membership } from '../protocol/raft.ts';
import type { MembershipChange } from './raft/membership.ts';
import { createRaft, type InstalledSnapshot, type Raft, type Ready } from './raft/raft.ts';
import { encodeBeginning, encodeEntry, encodeSnapshotMeta, type HardState } from './raft/records.ts';
import type { LogStart, Remembered } from './raft/recover.ts';
import type { RaftMessage } from './raft/state.ts';
import type { LogOptions, RaftStanding, ReplicatedLog } from './replicated-log.ts';
import { piecesOf } from './snapshot-pieces.ts';

/** Ten of them without a leader, and as many more by chance, end in an election: 500 ms to 1 s. */
export const TICK_MS = 50;
const HEARTBEAT_TICKS = 2;
const ELECTION_TICKS = 10;
/** Entries that are kept in memory behind a snapshot, for followers that lag a little. */
const KEPT_ENTRIES = 1_000;

/** Of proposals that wait while leadership is handed over, which takes an election time-out at most. */
const HELD_BYTES = 16 * 1_048_576;

/** The shell around {@link Raft}: persists, then sends and applies. */
export class JournaledLog implements ReplicatedLog {
  readonly #options: LogOptions;
  readonly #journal: Journal;
  readonly #raft: Raft;
  /** Where entries are in the journal. Their ordinals run along with their indexes but for hard states in between: one item a run. */
  #runs: { index: number; ordinal: number }[] = [];
  #applied: LogStart;
  #snapshotIndex: number;
  #compacting: Promise<void> = Promise.resolve();
  #leading = false;
  /** `null` before anything was said of it: one of several says at once that it knows no leader. */
  #following: string | undefined | null;
  #membership: Membership | undefined;
  #informedAt: number;
  #informed = false;
  #pumping = false;
  /** A leader's state is being put in place of the log: everything waits for it. */
  #installing = false;
  /** Proposals of this leader that wait for the end of a hand-over. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #reads = new Map<number, () => void>();
  #readCount = 0;
  /** Confirmed reads that wait until all up to their index is applied. */
  #readable: { index: number; then: () => void }[] = [];
  #timer: Timer | undefined;
  #tickedMs = 0;
  #stopped = false;
  #failed = false;
  #rejoining: boolean;

  constructor(options: LogOptions, journal: Journal, remembered: Remembered) {
    const { id, random, founders } = options;
    this.#options = options;
    this.#journal = journal;
    this.#raft = createRaft({
      id,
      remembered,
      heartbeatTicks: HEARTBEAT_TICKS,
      electionTicks: ELECTION_TICKS,
      chance: (bound) => Math.floor(random.next() * bound),
      ...(founders === undefined ? {} : { founders }),
    });
    this.#rejoining = remembered.hardState.rejoining === true;
    this.#following = this.#raft.membership.voters.length > 1 ? null : undefined;
    this.#applied = remembered.start;
    this.#snapshotIndex = remembered.start.index;
    this.#informedAt = remembered.start.index + remembered.entries.length;
    for (const [place, ordinal] of remembered.ordinals.entries()) {
      this.#remember(remembered.start.index + 1 + place, ordinal);
    }
  }

  get appliedIndex(): number {
    return this.#applied.index;
  }

  get bytes(): number {
    return this.#journal.bytes;
  }

  get standing(): RaftStanding {
    return this.#raft;
  }

  start(): void {
    this.#showMembership();
    this.#tick();
  }

  receive(message: RaftMessage): void {
    if (this.#stopped) return;
    const objection = this.#raft.objectionTo(message);
    if (objection !== undefined) return this.#options.onObjection(objection, message.from);
    try {
      this.#raft.step(message);
      this.#pumpSoon();
    } catch (error) {
      this.#fail(error);
    }
  }

  missed(peer: string): void {
    if (!this.#stopped) this.#raft.missed(peer);
  }

  change(change: MembershipChange): { term: number; index: number } | Fault {
    if (!this.#leading || this.#stopped) return new Fault('NO_LEADER');
    const place = this.#raft.change(change);
    this.#pumpSoon();
    return place;
  }

  transfer(to: string): undefined | Fault {
    if (!this.#leading || this.#stopped || !this.#raft.transfer(to)) return new Fault('NO_LEADER');
    this.#pumpSoon();
    return undefined;
  }

  read(then: () => void): void {
    if (this.#stopped || !this.#leading) return;
    const context = ++this.#readCount;
    if (!this.#raft.read(context)) return;
    this.#reads.set(context, then);
    this.#pumpSoon();
  }

  propose(command: Uint8Array): { term: number; index: number } | 'held' | Fault {
    if (command.length > LIMITS.commandBytes) {
      return new Fault('TOO_LARGE', `A command has at most ${LIMITS.commandBytes} bytes, not ${command.length}.`);
    }
    if (this.#failed) return new Fault('DISK');
    if (!this.#leading || this.#stopped) return new Fault('NO_LEADER');
    const place = this.#held.length > 0 ? undefined : this.#raft.propose(command);
    if (place === undefined) return this.#hold(command);
    this.#pumpSoon();
    return place;
  }

  #hold(command: Uint8Array): 'held' | Fault {
    if (this.#raft.role !== 'leader' || this.#heldBytes + command.length > HELD_BYTES) return new Fault('NO_LEADER');
    this.#held.push(command);
    this.#heldBytes += command.length;
    return 'held';
  }

  /** The hand-over has failed: what came meanwhile goes its way, in its order. */
  #release(): void {
    let taken = 0;
    for (const command of this.#held) {
      if (this.#raft.propose(command) === undefined) break;
      taken++;
      this.#heldBytes -= command.length;
    }
    this.#held.splice(0, taken);
  }

  snapshot(
    makeSlices: (index: number, term: number) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { index, term } = this.#applied;
    if (index === this.#snapshotIndex || this.#installing) return Promise.resolve();
    const upTo = this.#ordinalOf(index) + 1;
    const { hardState } = this.#raft;
    const meta = encodeSnapshotMeta({ index, term, hardState, membership: this.#raft.membershipAt(index) });
    const bytes = this.bytes;
    const compacted = this.#journal.compact(withMeta(meta, makeSlices(index, term)), upTo).then(() => {
      this.#snapshotIndex = index;
      const kept = this.#runs.findLastIndex((run) => run.index <= index);
      this.#runs.splice(0, kept);
      this.#raft.forget(Math.max(0, index - KEPT_ENTRIES));
      this.#options.log.info('snapshot taken', { index, term, bytes });
    });
    this.#compacting = compacted.catch(() => undefined);
    return compacted;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#journal.close();
  }

  /**
   * One tick at most a wake-up, and never before what has arrived meanwhile was heard: after a pause of the process an
   * election would be held although a heartbeat lies in the socket.
   */
  #tick(): void {
    if (this.#stopped) return;
    const { clock, tickMs = TICK_MS } = this.#options;
    const nowMs = clock.monotonic();
    const late = this.#tickedMs > 0 && nowMs - this.#tickedMs >= 2 * tickMs;
    this.#tickedMs = nowMs;
    if (!late && !this.#installing) {
      this.#raft.tick();
      this.#release();
      this.#promoteLearners();
      this.#pumpSoon();
    }
    // Who leads alone has nobody to hear of.
    const alone = this.#leading && this.#raft.followers.size === 0;
    this.#timer = alone ? undefined : clock.after(late ? 1 : tickMs, () => this.#tick());
  }

  /** A new master votes as soon as it has what is committed (thesis §4.2.1), and says that it may. */
  #promoteLearners(): void {
    const { role, membership, followers, commitIndex } = this.#raft;
    if (role !== 'leader' || !this.#leading) return;
    const ready = membership.learners.find(({ id }) => {
      const follower = followers.get(id);
      return follower?.rejoining === false && follower.match >= commitIndex;
    });
    if (ready === undefined) return;
    const promoted = this.#raft.change({ promote: ready.id });
    if (!(promoted instanceof Fault)) this.#options.log.info('a new master votes', { master: ready.id });
  }

  /** At the end of this turn: what it proposes becomes one write. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    try {
      while (!this.#stopped && !this.#installing) {
        const ready = this.#raft.ready();
        if (ready === undefined) return;
        if (ready.snapshot === undefined) this.#act(ready);
        else this.#installThen(ready, ready.snapshot);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #act(ready: Ready): void {
    if (ready.write !== undefined) this.#persist(ready, ready.write);
    for (const message of ready.messages) this.#options.send(message);
    this.#deliver(ready);
    for (const peer of ready.wantSnapshot) this.#ship(peer);
  }

  /** What follows the state in the log must not be written before the state is. */
  #installThen(ready: Ready, snapshot: InstalledSnapshot): void {
    this.#installing = true;
    this.#install(snapshot).then(
      () => {
        this.#installing = false;
        if (this.#stopped) return;
        try {
          this.#options.onRestored(snapshot);
          this.#act(ready);
        } catch (error) {
          return this.#fail(error);
        }
        this.#pumpSoon();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #install({ index, term, membership, slices }: InstalledSnapshot): Promise<void> {
    const { hardState } = this.#raft;
    await this.#compacting;
    await this.#journal.append([]).durable;
    const meta = encodeSnapshotMeta({ index, term, hardState, membership });
    await this.#journal.compact(withMeta(meta, slices), this.#journal.next);
    this.#applied = { index, term };
    this.#snapshotIndex = index;
    this.#runs = [];
    this.#options.log.info('took the leader’s state', { index, term });
  }

  #ship(peer: string): void {
    const slices = this.#options.slices();
    if (slices === undefined) return;
    const { index, term } = this.#applied;
    this.#options.log.info('sending the state to a master that lags behind', { master: peer, index });
    this.#raft.ship(peer, index, term, piecesOf(slices));
    this.#pumpSoon();
  }

  #persist({ foundation, hardState, entries }: Ready, write: number): void {
    const records = [...encodeBeginning(hardState, foundation), ...entries.map(encodeEntry)];
    if (hardState !== undefined) this.#showRejoining(hardState);
    const { ordinal, durable } = this.#journal.append(records);
    const [first] = entries;
    if (first !== undefined) this.#remember(first.index, ordinal + records.length - entries.length);
    durable
      .then(() => {
        this.#raft.persisted(write);
        // Several writes of ours may have shared one sync: all of them first, then one batch.
        this.#pumpSoon();
      })
      .catch((error: unknown) => this.#fail(error));
  }

  #deliver({ committed, reads, role, term, leader }: Ready): void {
    const last = committed.at(-1);
    if (last !== undefined) {
      this.#applied = { index: last.index, term: last.term };
      this.#options.onCommitted(committed);
    }
    this.#showMembership();
    if (
      !this.#informed &&
      leader !== undefined &&
      this.#applied.term === term &&
      this.#applied.index >= this.#informedAt
    ) {
      this.#informed = true;
      this.#options.onInformed();
    }
    if (role === 'leader' && !this.#leading && this.#applied.term === term) {
      this.#leading = true;
      this.#options.onLeading(term);
    }
    if (role !== 'leader' && (this.#leading || leader !== this.#following)) {
      const led = this.#leading;
      this.#leading = false;
      this.#following = leader;
      this.#held = [];
      this.#heldBytes = 0;
      this.#reads.clear();
      this.#readable = [];
      this.#options.onFollowing(leader);
      if (led && this.#timer === undefined) this.#tick();
    }
    for (const { context, index } of reads) this.#confirmed(context, index);
    const readable = this.#readable;
    this.#readable = readable.filter(({ index }) => index > this.#applied.index);
    for (const { index, then } of readable) if (index <= this.#applied.index) then();
  }

  #confirmed(context: number, index: number): void {
    const then = this.#reads.get(context);
    this.#reads.delete(context);
    if (then !== undefined) this.#readable.push({ index, then });
  }

  #showRejoining({ rejoining = false }: HardState): void {
    if (rejoining === this.#rejoining) return;
    this.#rejoining = rejoining;
    this.#membership = undefined;
    const { log } = this.#options;
    if (rejoining)
      log.warn('the others have a cluster already: this master rejoins, and does not vote until it has all');
    else log.info('this master has all again that is committed, and votes');
  }

  #showMembership(): void {
    const { membership } = this.#raft;
    if (membership === this.#membership) return;
    this.#membership = membership;
    this.#options.onMembership(membership, this.#rejoining);
    // Who led alone, and does no longer, begins to listen.
    if (this.#timer === undefined && this.#tickedMs > 0) this.#tick();
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#failed = true;
    this.#options.onFatal(error);
  }

  /** From `index` on, ordinals run along from `ordinal`. */
  #remember(index: number, ordinal: number): void {
    const run = this.#runs.at(-1);
    if (run === undefined || ordinal - index !== run.ordinal - run.index) this.#runs.push({ index, ordinal });
  }

  #ordinalOf(index: number): number {
    const run = this.#runs.findLast((candidate) => candidate.index <= index);
    if (run === undefined) throw new Error(`broken invariant: entry ${index} is in the journal`);
    return run.ordinal + index - run.index;
  }
}

async function* withMeta(
  meta: Uint8Array,
  slices: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield meta;
  yield* slices;
}
