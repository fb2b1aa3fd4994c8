import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { Random } from '../io/random.ts';
import type { Storage } from '../io/storage.ts';
import type { Fault } from '../protocol/faults.ts';
import type { Membership } from '../protocol/raft.ts';
import type { MembershipChange } from './raft/membership.ts';
import type { Entry } from './raft/records.ts';
import type { LogStart } from './raft/recover.ts';
import type { RaftMessage, Role } from './raft/state.ts';

export interface LogOptions {
  readonly storage: Storage;
  /** Folder of the log's files in `storage`. */
  readonly folder: string;
  /** This master's id. */
  readonly id: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** Who founds the cluster, this master among them, where the log does not tell. Default: this master alone. */
  readonly founders?: Membership;
  /** Default 50: heartbeats every 2, elections after 10 to 20 ticks without a leader. */
  readonly tickMs?: number;
  /** Carries a message to another master; any may be lost. */
  send(message: RaftMessage): void;
  /** A message of `from` was dropped, because it cannot be of a master that works. */
  onObjection(objection: string, from: string): void;
  /**
   * Who belongs to the cluster now; called at the start, and after every change. While this master is `catchingUp` with
   * what it has lost, it is who belonged to it at some time.
   */
  onMembership(membership: Membership, catchingUp: boolean): void;
  /** A leader's state takes the place of the registry. */
  onRestored(snapshot: Snapshot): void;
  /**
   * The registry as of the last entry handed to `onCommitted`, in slices of 1 byte to 1 MiB, for a follower that lags
   * too far behind; undefined where there is none at this moment.
   */
  slices(): Iterable<Uint8Array> | undefined;
  /** Once: all that was here when the log was opened, and committed before, has been through `onCommitted`. */
  onInformed(): void;
  /**
   * Committed entries, each exactly once a run, in order, without gaps from the snapshot on; what was committed in one
   * go comes as one batch. After a restart all entries after the snapshot come again. A `noop` says nothing.
   */
  onCommitted(entries: readonly Entry[]): void;
  /** This master leads, and everything of earlier terms has been through `onCommitted`. */
  onLeading(term: number): void;
  /** Another master leads, or (undefined) none that is known. What was proposed here has an unknown outcome. */
  onFollowing(leader: string | undefined): void;
  /** The disk failed, or a callback threw: nothing more will be committed. Stop the process; the next start recovers. Called once. */
  onFatal(error: unknown): void;
  /** Default 4 MiB. */
  readonly segmentBytes?: number;
}

/** The registry's state as of the entry `index`. */
export interface Snapshot extends LogStart {
  readonly slices: readonly Uint8Array[];
}

export interface OpenedLog {
  readonly log: ReplicatedLog;
  /** To be loaded before {@link ReplicatedLog.start}; undefined where there is none. */
  readonly snapshot: Snapshot | undefined;
}

/** The replicated log as the master sees it. */
export interface ReplicatedLog {
  /** Index of the last entry handed to `onCommitted`, or of the snapshot. */
  readonly appliedIndex: number;
  /** Bytes written since the last snapshot was begun: for deciding when to take the next. */
  readonly bytes: number;
  readonly standing: RaftStanding;
  /** A message from an authenticated master. */
  receive(message: RaftMessage): void;
  /** Changes who belongs to the cluster. Faults: see raft/membership.ts. */
  change(change: MembershipChange): { readonly term: number; readonly index: number } | Fault;
  /** Hands leadership to another master: `onFollowing` tells when. Fault `NO_LEADER` where `to` cannot lead. */
  transfer(to: string): undefined | Fault;
  /** The connection to that master has ended: if it led, another one is elected the sooner. */
  missed(peer: string): void;
  /** Calls `then` once it is sure that this master led when it was asked, and all committed by then is applied (§6.4); never, where it does not. */
  read(then: () => void): void;
  /** Lets Raft run; from now on the callbacks are called. Once. */
  start(): void;
  /**
   * Appends a command of at most {@link LIMITS}.commandBytes and tells at once where it will be, if it is ever
   * committed: wait for that index in `onCommitted`, and compare the term. Faults: `NO_LEADER` (not leading, or not yet
   * announced by `onLeading`), `TOO_LARGE`, `DISK`. `held`: leadership is being handed over; it is appended should that
   * fail, in its turn, and forgotten where another leads.
   */
  propose(command: Uint8Array): { readonly term: number; readonly index: number } | 'held' | Fault;
  /**
   * Replaces all applied entries on the disk by the state. `makeSlices` is called at once, and what it yields over time
   * (slices of 1 byte to 1 MiB) must be the state of that moment. Rejects where the disk refuses: the log is then as
   * before, and lives on. One at a time.
   */
  snapshot(
    makeSlices: (index: number, term: number) => Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void>;
  /** Waits for what is being written; afterwards no callback is called any more. */
  close(): Promise<void>;
}

/** How Raft stands at this master. */
export interface RaftStanding {
  readonly role: Role;
  readonly term: number;
  readonly leader: string | undefined;
  readonly commitIndex: number;
  readonly lastIndex: number;
  readonly membership: Membership;
  /** Of a leader: what the others hold. */
  readonly followers: ReadonlyMap<string, { readonly match: number; readonly active: boolean }>;
}
