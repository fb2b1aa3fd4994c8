import type { Membership } from '../../protocol/raft.ts';

/** APPENDs that may be on the way to one follower at once. */
const WINDOW = 32;

/** A part of the state, as SNAPSHOT carries it. */
export interface Piece {
  readonly bytes: Uint8Array;
  /** It is the last of its slice. */
  readonly ends: boolean;
}

/** The leader's state on its way to a follower. */
export interface Shipment {
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
  readonly pieces: readonly Piece[];
  /** Pieces below `arrived` have been acknowledged, those below `sent` are on their way. */
  arrived: number;
  sent: number;
  /** What the follower said last that it has. */
  heard: number;
  /** Ticks since one was last acknowledged. */
  silent: number;
}

/** What a leader knows of one other master, in one term. */
export class Progress {
  /** The highest entry that it is known to hold durably. */
  match = 0;
  /** The next entry to send. */
  next: number;
  /**
   * `probe`: one APPEND at a time, until it is known where the logs agree. `replicate`: many under way.
   * `snapshot`: it lacks what the leader no longer has.
   */
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** While probing: one is under way. */
  paused = false;
  /** Last indexes of the APPENDs under way, ascending. */
  inflight: number[] = [];
  /** Heard of since the last check of the quorum. */
  heard = false;
  #heardBefore = false;
  /** It says that it must not vote yet; undefined while it has not said. */
  rejoining: boolean | undefined;
  /** The commit index that it was last told. */
  told = 0;
  shipment: Shipment | undefined;

  constructor(next: number) {
    this.next = next;
  }

  /** Heard of since the check of the quorum before the last: right after a check, nobody has spoken yet. */
  get active(): boolean {
    return this.heard || this.#heardBefore;
  }

  /** The quorum was checked. */
  checked(): void {
    this.#heardBefore = this.heard;
    this.heard = false;
  }

  get waits(): boolean {
    if (this.state === 'probe') return this.paused;
    return this.state === 'snapshot' || this.inflight.length >= WINDOW;
  }

  probe(): void {
    this.next = this.match + 1;
    this.#become('probe');
  }

  replicate(): void {
    this.next = Math.max(this.next, this.match + 1);
    this.#become('replicate');
  }

  snapshot(): void {
    this.#become('snapshot');
  }

  /** An APPEND up to `last` leaves. */
  sent(last: number): void {
    if (this.state === 'replicate') {
      this.next = last + 1;
      this.inflight.push(last);
    } else this.paused = true;
  }

  /** All up to `index` is durable there. True where that is news. */
  acknowledged(index: number): boolean {
    this.inflight = this.inflight.filter((last) => last > index);
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.paused = false;
    return true;
  }

  /**
   * It refused what follows `index`, and can agree at `hint` at the latest. False where the answer is an old one, or
   * contradicts what it had acknowledged: asked again at once, it would refuse as fast as messages go.
   */
  refused(index: number, hint: number): boolean {
    if (index <= this.match) return false;
    if (this.state === 'replicate') {
      this.probe();
      return true;
    }
    if (this.next - 1 !== index) return false;
    this.next = Math.max(Math.min(index, hint + 1), this.match + 1);
    this.paused = false;
    return true;
  }

  #become(state: Progress['state']): void {
    this.state = state;
    this.paused = false;
    this.inflight = [];
    this.shipment = undefined;
  }
}
