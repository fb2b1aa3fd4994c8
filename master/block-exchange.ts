import type { BlobStore } from '../io/blob-store.ts';
import type { Clock } from '../io/clock.ts';
import type { Digest } from '../io/digest.ts';
import type { MASTER_BLOCKS } from '../protocol/blob-link.ts';
import type { MessageOf, Outgoing } from '../protocol/envelope.ts';

/** Blocks this master has asked others for, and not been answered. */
const UNDERWAY = 16;
/** For so long one of the others is waited for: the block may be on its way to it. */
const ANSWER_MS = 5_000;
/** Blocks that others wait for here while an upload goes on. */
const PARKED = 256;

export interface BlockPeers {
  /** Ids of the other masters that can be reached now. */
  reached(): string[];
  send(peer: string, message: Outgoing<typeof MASTER_BLOCKS>): void;
}

export interface BlockExchangeOptions {
  readonly store: BlobStore;
  readonly digest: Digest;
  readonly clock: Clock;
  readonly peers: BlockPeers;
}

interface Waiting {
  readonly peer: string;
  readonly answered: (bytes: Uint8Array | undefined) => void;
}

/** Gets blocks from other masters, and gives them to others; few at once, on connections of their own. */
export class BlockExchange {
  readonly #options: BlockExchangeOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #obtaining = new Map<string, Promise<Uint8Array | undefined>>();
  /** Hash → who waits for it here, longest first. */
  readonly #parked = new Map<string, Set<string>>();
  #underway = 0;
  readonly #queue: (() => void)[] = [];
  /** True while blocks come in that others ask for already. */
  expecting: () => boolean = () => false;

  constructor(options: BlockExchangeOptions) {
    this.#options = options;
  }

  /** The block from the own disk, or else of the first of `peers` (default: all that are reached) that has it; then it is on the own disk too. */
  async obtain(hash: string, peers?: readonly string[]): Promise<Uint8Array | undefined> {
    const own = await this.#options.store.read(hash);
    if (own !== undefined) return own;
    // Who asks already may ask fewer.
    for (let before = this.#obtaining.get(hash); before !== undefined; before = this.#obtaining.get(hash)) {
      const bytes = await before;
      if (bytes !== undefined) return bytes;
    }
    const obtained = this.#ask(hash, peers ?? this.#options.peers.reached());
    this.#obtaining.set(hash, obtained);
    try {
      return await obtained;
    } finally {
      this.#obtaining.delete(hash);
    }
  }

  /** Another master asks for blocks. */
  async wanted(from: string, hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) {
      // Parked first: it may come to be stored while it is looked for.
      if (this.expecting() && !this.#options.store.blocks.has(hash)) {
        this.#park(hash, from);
        continue;
      }
      const bytes = await this.#options.store.read(hash);
      if (bytes !== undefined) this.#options.peers.send(from, { type: 'BLOCK', data: new Uint8Array(bytes) });
      else this.#options.peers.send(from, { type: 'LACK', blocks: [hash] });
    }
  }

  /** A block has come to be on the own disk: whoever waits for it gets it. */
  stored(hash: string, bytes: Uint8Array): void {
    for (const peer of this.#parked.get(hash) ?? [])
      this.#options.peers.send(peer, { type: 'BLOCK', data: new Uint8Array(bytes) });
    this.#parked.delete(hash);
  }

  answered(from: string, message: Extract<MessageOf<typeof MASTER_BLOCKS>, { type: 'BLOCK' | 'LACK' }>): void {
    if (message.type === 'BLOCK') this.#waiting.get(this.#options.digest.sha256(message.data))?.answered(message.data);
    else
      for (const hash of message.blocks) {
        const waiting = this.#waiting.get(hash);
        if (waiting?.peer === from) waiting.answered(undefined);
      }
  }

  #park(hash: string, peer: string): void {
    const peers = this.#parked.get(hash) ?? new Set();
    this.#parked.set(hash, peers.add(peer));
    for (const [oldest, waiters] of this.#parked) {
      if (this.#parked.size <= PARKED) break;
      this.#parked.delete(oldest);
      for (const waiter of waiters) this.#options.peers.send(waiter, { type: 'LACK', blocks: [oldest] });
    }
  }

  async #ask(hash: string, peers: readonly string[]): Promise<Uint8Array | undefined> {
    for (const peer of peers) {
      await this.#turn();
      const bytes = await this.#askOne(hash, peer);
      this.#turnOver();
      if (bytes === undefined) continue;
      await this.#options.store.write(bytes);
      this.stored(hash, bytes);
      return bytes;
    }
    return undefined;
  }

  #askOne(hash: string, peer: string): Promise<Uint8Array | undefined> {
    const { peers, clock } = this.#options;
    return new Promise((resolve) => {
      const answered = (bytes: Uint8Array | undefined): void => {
        timer.cancel();
        this.#waiting.delete(hash);
        resolve(bytes);
      };
      const timer = clock.after(ANSWER_MS, () => answered(undefined));
      this.#waiting.set(hash, { peer, answered });
      peers.send(peer, { type: 'WANT', blocks: [hash] });
    });
  }

  async #turn(): Promise<void> {
    if (this.#underway < UNDERWAY) this.#underway++;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
  }

  #turnOver(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#underway--;
    else next();
  }
}
