import { createState } from '../../master/raft/create-state.ts';
import { type Raft, type Ready, raftOf } from '../../master/raft/raft.ts';
import {
  type Entry,
  encodeBeginning,
  encodeEntry,
  encodeHardState,
  encodeSnapshotMeta,
} from '../../master/raft/records.ts';
import { recover } from '../../master/raft/recover.ts';
import type { RaftMessage, RaftState } from '../../master/raft/state.ts';
import { Fault } from '../../protocol/faults.ts';
import type { Membership } from '../../protocol/raft.ts';
import { RaftAudit } from './raft-audit.ts';
import { SeededRandom } from './random.ts';

/** What goes wrong in one run; each is drawn from the seed. */
export interface Weather {
  readonly masters: number;
  readonly loss: number;
  readonly duplicates: number;
  /** Virtual milliseconds with faults, before everything heals. */
  readonly stormMs: number;
  /** Mean virtual milliseconds between two crashes, partitions, pauses, hand-overs. */
  readonly faultMs: number;
  /** Of a crash: the disk is empty afterwards. */
  readonly wipes: boolean;
  /** Crashes come when they hurt most: right after a vote, an election, a commit. */
  readonly spiteful: boolean;
}

const TICK_MS = 50;
const CALM_MS = 60_000;
const SNAPSHOT_ENTRIES = 40;

type StoredRecord = Uint8Array;

interface Snapshot {
  readonly meta: Uint8Array;
  readonly index: number;
  readonly commands: readonly string[];
}

interface PendingWrite {
  readonly records: readonly StoredRecord[];
  readonly snapshot: Snapshot | undefined;
  readonly write: number;
  readonly epoch: number;
}

/** One master's process and its disk. */
interface Master {
  readonly id: string;
  raft: Raft | undefined;
  state: RaftState | undefined;
  /** Of the process: what belongs to an earlier one is ignored. */
  epoch: number;
  disk: { snapshot: Snapshot | undefined; records: StoredRecord[] };
  pending: PendingWrite[];
  commands: string[];
  applied: number;
  appliedTerm: number;
  pausedUntil: number;
  inbox: RaftMessage[];
  clockRate: number;
  waiting: Map<string, string>;
  reads: Map<number, ReadonlySet<string>>;
  confirmed: { index: number; needs: ReadonlySet<string> }[];
  readCount: number;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Raft cores, disks, links and clients on virtual time, from one seed. {@link run} gives what was violated. */
export class RaftSimulation {
  readonly #random: SeededRandom;
  readonly #weather: Weather;
  readonly #membership: Membership;
  readonly #masters: Master[];
  readonly #events: Event[] = [];
  #now = 0;
  #order = 0;
  #storm = true;
  #cut: (from: string, to: string) => boolean = () => false;
  readonly #audit = new RaftAudit((what) => this.#violations.push(what));
  readonly #committed = new Map<number, { term: number; payload: string }>();
  #proposed = 0;
  readonly #acknowledged = new Set<string>();
  readonly #violations: string[] = [];
  /** Elections won, crashes, wiped disks, snapshots taken over: that the run was worth it. */
  get tally() {
    return { elections: this.#audit.elections, ...this.#tally };
  }
  readonly #tally = { crashes: 0, wipes: 0, installs: 0, reads: 0 };

  constructor(seed: number, weather?: Partial<Weather>) {
    this.#random = new SeededRandom(seed);
    const draw = (): number => this.#random.next();
    this.#weather = {
      masters: [3, 3, 5, 1][Math.floor(draw() * 4)] ?? 3,
      loss: draw() * 0.12,
      duplicates: draw() * 0.15,
      stormMs: 20_000,
      faultMs: 400 + draw() * 3_000,
      wipes: draw() < 0.5,
      spiteful: draw() < 0.5,
      ...weather,
    };
    const voters = Array.from({ length: this.#weather.masters }, (_, at) => ({ id: `m${at + 1}`, urls: [] }));
    this.#membership = { voters, learners: [] };
    this.#masters = voters.map(({ id }) => ({
      id,
      raft: undefined,
      state: undefined,
      epoch: 0,
      disk: { snapshot: undefined, records: [] },
      pending: [],
      commands: [],
      applied: 0,
      appliedTerm: 0,
      pausedUntil: 0,
      inbox: [],
      clockRate: 0.85 + draw() * 0.3,
      waiting: new Map(),
      reads: new Map(),
      confirmed: [],
      readCount: 0,
    }));
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  get virtualMs(): number {
    return this.#now;
  }

  /** Faults for a while, then none; each violation in words. */
  run(): string[] {
    const { stormMs } = this.#weather;
    for (const master of this.#masters) this.#boot(master);
    this.#after(10, () => this.#client());
    this.#nextFault();
    this.#until(stormMs);
    this.#storm = false;
    this.#cut = () => false;
    for (const master of this.#masters) {
      master.pausedUntil = 0;
      if (master.raft === undefined) this.#boot(master);
    }
    this.#until(stormMs + CALM_MS);
    this.#checkCalm();
    return this.#violations;
  }

  #until(end: number): void {
    while (this.#violations.length === 0) {
      const event = this.#events[0];
      if (event === undefined || event.at > end) break;
      this.#pop();
      this.#now = event.at;
      event.run();
    }
    this.#now = end;
  }

  #after(ms: number, run: () => void): void {
    const event = { at: this.#now + ms, order: this.#order++, run };
    this.#events.push(event);
    for (let at = this.#events.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#sooner(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #pop(): void {
    const last = this.#events.pop();
    if (last === undefined || this.#events.length === 0) return;
    this.#events[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#events.length && this.#sooner(child, least)) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #sooner(one: number, other: number): boolean {
    const a = this.#events[one];
    const b = this.#events[other];
    if (a === undefined || b === undefined) return false;
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #swap(one: number, other: number): void {
    const a = this.#events[one];
    const b = this.#events[other];
    if (a === undefined || b === undefined) return;
    this.#events[one] = b;
    this.#events[other] = a;
  }

  #boot(master: Master): void {
    const epoch = ++master.epoch;
    const { snapshot, records } = master.disk;
    const remembered = recover(
      snapshot?.meta,
      records.map((bytes, ordinal) => ({ ordinal, bytes })),
    );
    if (remembered instanceof Fault) {
      this.#violations.push(`${master.id} cannot read its log: ${remembered.message}`);
      return;
    }
    const state = createState({
      id: master.id,
      remembered,
      founders: this.#membership,
      heartbeatTicks: 2,
      chance: (bound) => Math.floor(this.#random.next() * bound),
    });
    master.state = state;
    master.raft = raftOf(state);
    master.commands = [...(snapshot?.commands ?? [])];
    master.applied = remembered.start.index;
    master.appliedTerm = remembered.start.term;
    master.pending = [];
    master.inbox = [];
    master.waiting.clear();
    master.reads.clear();
    master.confirmed = [];
    const tick = (): void => {
      if (master.epoch !== epoch || master.raft === undefined) return;
      this.#after(TICK_MS * master.clockRate, tick);
      if (this.#now < master.pausedUntil) return;
      for (const message of master.inbox.splice(0)) this.#step(master, message);
      master.raft?.tick();
      this.#settle(master);
    };
    this.#after(this.#random.next() * TICK_MS, tick);
  }

  #crash(master: Master): void {
    if (master.raft === undefined) return;
    this.#tally.crashes++;
    master.raft = undefined;
    master.state = undefined;
    this.#audit.ended(master.id);
    master.epoch++;
    // Of what was under way, a beginning is on the disk: whole writes, and of one some of its records.
    const kept = Math.floor(this.#random.next() * (master.pending.length + 1));
    for (const write of master.pending.slice(0, kept)) store(master, write);
    const torn = master.pending[kept];
    if (torn !== undefined && torn.snapshot === undefined)
      master.disk.records.push(...torn.records.slice(0, Math.floor(this.#random.next() * torn.records.length)));
    const wiped = this.#weather.wipes && this.#storm && this.#random.next() < 0.3 && this.#mayLose(master);
    if (wiped) {
      this.#tally.wipes++;
      master.disk = { snapshot: undefined, records: [] };
    }
    this.#missed(master.id);
    const { epoch } = master;
    this.#after(this.#random.next() < 0.3 ? 5 : this.#random.next() * 3_000, () => {
      if (master.epoch === epoch) this.#boot(master);
    });
  }

  /** Some of the others see their connection to it end, soon or late; now and then it has not ended at all. */
  #missed(peer: string): void {
    for (const other of this.#masters) {
      if (other.id === peer || this.#random.next() < 0.4) continue;
      this.#after(this.#random.next() * 300, () => {
        other.raft?.missed(peer);
        this.#settle(other);
      });
    }
  }

  /** A disk may be lost while a majority of the others has all of theirs, and was brought up to date. */
  #mayLose(master: Master): boolean {
    const sound = this.#masters.filter(
      (other) => other !== master && other.state?.standing === 'member' && other.state.hardState.rejoining !== true,
    );
    return sound.length * 2 > this.#masters.length;
  }

  #step(master: Master, message: RaftMessage): void {
    try {
      master.raft?.step(message);
      this.#look(master);
    } catch (error) {
      this.#violations.push(`${master.id}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #look({ id, state }: Master): void {
    if (state !== undefined) this.#audit.look(id, state);
  }

  #settle(master: Master): void {
    this.#look(master);
    for (let ready = master.raft?.ready(); ready !== undefined; ready = master.raft?.ready()) this.#act(master, ready);
  }

  #act(master: Master, ready: Ready): void {
    if (ready.snapshot !== undefined) this.#install(master, ready.snapshot);
    if (ready.write !== undefined) this.#write(master, ready, ready.write);
    for (const message of ready.messages) this.#send(message);
    for (const entry of ready.committed) this.#apply(master, entry);
    for (const { context, index } of ready.reads) {
      const needs = master.reads.get(context);
      if (needs !== undefined) master.confirmed.push({ index, needs });
    }
    this.#answerReads(master);
    for (const peer of ready.wantSnapshot) {
      const bytes = new TextEncoder().encode(JSON.stringify(master.commands));
      const half = Math.ceil(bytes.length / 2);
      master.raft?.ship(peer, master.applied, master.appliedTerm, [
        { bytes: bytes.slice(0, half), ends: false },
        { bytes: bytes.slice(half), ends: true },
      ]);
    }
    if (ready.committed.length > 0) this.#snapshot(master);
    if (ready.role !== 'leader') {
      master.waiting.clear();
      master.reads.clear();
      master.confirmed = [];
    }
    if (this.#weather.spiteful && this.#storm && this.#random.next() < 0.02 && isTender(ready)) {
      const { epoch } = master;
      this.#after(0, () => {
        if (master.epoch === epoch) this.#crash(master);
      });
    }
  }

  #install(master: Master, { index, slices, term }: NonNullable<Ready['snapshot']>): void {
    this.#tally.installs++;
    const text = slices.map((slice) => new TextDecoder().decode(slice)).join('');
    master.commands = JSON.parse(text) as string[];
    master.applied = index;
    master.appliedTerm = term;
  }

  #write(master: Master, ready: Ready, write: number): void {
    const records = [...encodeBeginning(ready.hardState, ready.foundation), ...ready.entries.map(encodeEntry)];
    const { epoch } = master;
    let snapshot: Snapshot | undefined;
    if (ready.snapshot !== undefined && master.raft !== undefined) {
      const { index, term, membership } = ready.snapshot;
      const meta = encodeSnapshotMeta({ index, term, membership, hardState: master.raft.hardState });
      snapshot = { meta, index, commands: [...master.commands] };
    }
    const pending = { records, snapshot, write, epoch };
    master.pending.push(pending);
    const stall = this.#random.next() < 0.02 ? 800 : 0;
    this.#after(0.2 + this.#random.next() * 5 + stall, () => this.#written(master, pending));
  }

  /** Writes become durable in order. */
  #written(master: Master, pending: PendingWrite): void {
    if (master.epoch !== pending.epoch) return;
    const place = master.pending.indexOf(pending);
    if (place < 0) return;
    for (const write of master.pending.splice(0, place + 1)) store(master, write);
    try {
      master.raft?.persisted(pending.write);
    } catch (error) {
      this.#violations.push(`${master.id}: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (this.#now >= master.pausedUntil) this.#settle(master);
  }

  #send(message: RaftMessage): void {
    if (this.#storm) {
      if (this.#random.next() < this.#weather.loss) return;
      if (this.#random.next() < this.#weather.duplicates) this.#carry(message);
    }
    this.#carry(message);
  }

  #carry(message: RaftMessage): void {
    const tail = this.#storm && this.#random.next() < 0.03 ? 1_500 : 8;
    this.#after(0.2 + this.#random.next() * tail, () => {
      const master = this.#masters.find(({ id }) => id === message.to);
      if (master?.raft === undefined || this.#cut(message.from, message.to)) return;
      if (this.#now < master.pausedUntil) {
        master.inbox.push(message);
        return;
      }
      this.#step(master, message);
      this.#settle(master);
    });
  }

  #apply(master: Master, entry: Entry): void {
    const payload = entry.kind === 'command' ? new TextDecoder().decode(entry.payload) : '';
    const known = this.#committed.get(entry.index);
    if (entry.index !== master.applied + 1)
      this.#violations.push(`${master.id} applies ${entry.index} after ${master.applied}`);
    if (known === undefined) this.#committed.set(entry.index, { term: entry.term, payload });
    else if (known.term !== entry.term || known.payload !== payload)
      this.#violations.push(`state machine safety: ${master.id} applies another entry at ${entry.index}`);
    master.applied = entry.index;
    master.appliedTerm = entry.term;
    if (entry.kind !== 'command') return;
    master.commands.push(payload);
    if (master.waiting.get(payload) !== `${entry.term}/${entry.index}`) return;
    master.waiting.delete(payload);
    this.#acknowledged.add(payload);
  }

  #snapshot(master: Master): void {
    const { raft } = master;
    const since = master.disk.snapshot?.index ?? 0;
    if (raft === undefined || master.applied - since < SNAPSHOT_ENTRIES || master.pending.length > 0) return;
    const { applied: index, appliedTerm: term } = master;
    const meta = encodeSnapshotMeta({ index, term, hardState: raft.hardState, membership: raft.membershipAt(index) });
    const after = master.state?.log.entries(index + 1, raft.lastIndex) ?? [];
    master.disk = {
      snapshot: { meta, index, commands: [...master.commands] },
      records: [encodeHardState(raft.hardState), ...after.map(encodeEntry)],
    };
    raft.forget(Math.max(0, index - 5));
  }

  #answerReads(master: Master): void {
    for (const read of master.confirmed.filter(({ index }) => index <= master.applied)) {
      this.#tally.reads++;
      const there = new Set(master.commands);
      for (const command of read.needs)
        if (!there.has(command)) this.#violations.push(`stale read: ${master.id} does not show ${command}`);
    }
    master.confirmed = master.confirmed.filter(({ index }) => index > master.applied);
  }

  #client(): void {
    this.#after(5 + this.#random.next() * 60, () => this.#client());
    if (!this.#storm && this.#now > this.#weather.stormMs + CALM_MS / 2) return;
    for (const master of this.#masters) {
      if (master.raft?.role !== 'leader' || this.#now < master.pausedUntil) continue;
      if (this.#random.next() < 0.3) {
        const context = ++master.readCount;
        if (master.raft.read(context)) master.reads.set(context, new Set(this.#acknowledged));
      }
      const command = `c${++this.#proposed}`;
      const place = master.raft.propose(new TextEncoder().encode(command));
      if (place !== undefined) master.waiting.set(command, `${place.term}/${place.index}`);
      this.#settle(master);
    }
  }

  #nextFault(): void {
    this.#after(this.#random.next() * 2 * this.#weather.faultMs, () => {
      if (!this.#storm) return;
      this.#fault();
      this.#nextFault();
    });
  }

  #fault(): void {
    const any = (): Master => {
      const master = this.#masters[Math.floor(this.#random.next() * this.#masters.length)];
      if (master === undefined) throw new Error('there are masters');
      return master;
    };
    const one = any();
    const { id } = one;
    const kind = this.#random.next();
    if (kind < 0.35) return this.#crash(one);
    if (kind > 0.9) this.#missed(id);
    if (kind < 0.5) {
      one.pausedUntil = this.#now + this.#random.next() * 1_500;
      return;
    }
    if (kind < 0.6) {
      const leader = this.#masters.find(({ raft }) => raft?.role === 'leader');
      leader?.raft?.transfer(id);
      if (leader !== undefined) this.#settle(leader);
      return;
    }
    const other = any().id;
    const shapes = [
      (from: string, to: string) => from === id || to === id,
      (from: string) => from === id,
      (_from: string, to: string) => to === id,
      (from: string, to: string) => (from === id && to === other) || (from === other && to === id),
    ];
    const shape = shapes[Math.floor(this.#random.next() * shapes.length)] ?? (() => false);
    this.#cut = shape;
    this.#after(this.#random.next() * 3_000, () => {
      if (this.#cut === shape) this.#cut = () => false;
    });
  }

  /** After healing: somebody leads, and everybody has everything that was acknowledged. */
  #checkCalm(): void {
    if (this.#violations.length > 0) return;
    const leader = this.#masters.find(({ raft }) => raft?.role === 'leader');
    if (leader === undefined) this.#violations.push('nobody leads, long after the last fault');
    for (const { id, commands } of this.#masters) {
      const there = new Set(commands);
      const missing = [...this.#acknowledged].filter((command) => !there.has(command));
      if (missing.length > 0) this.#violations.push(`${id} lacks ${missing.length} acknowledged commands`);
      if (there.size !== commands.length) this.#violations.push(`${id} applied a command twice`);
    }
  }
}

function store(master: Master, { records, snapshot }: PendingWrite): void {
  if (snapshot !== undefined) master.disk = { snapshot, records: [] };
  master.disk.records.push(...records);
}

/** A moment at which a crash hurts: a vote was cast, an election won, something committed. */
function isTender(ready: Ready): boolean {
  return ready.hardState !== undefined || ready.committed.length > 0 || ready.role === 'candidate';
}
