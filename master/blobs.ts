import { type BlobStore, openBlobStore } from '../io/blob-store.ts';
import type { Bus } from '../io/bus.ts';
import type { Clock } from '../io/clock.ts';
import type { Digest } from '../io/digest.ts';
import type { Log } from '../io/log.ts';
import type { Storage } from '../io/storage.ts';
import { MASTER_BLOCKS } from '../protocol/blob-link.ts';
import { type Outgoing, read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { parseTopic, TOPICS, topicOf } from '../protocol/topics.ts';
import { BlobCollector } from './blob-collector.ts';
import { BlobKeeper } from './blob-keeper.ts';
import { namedBlobs } from './blobs/named-blobs.ts';
import { BlockExchange } from './block-exchange.ts';
import type { Counters } from './counters.ts';
import type { Registry } from './registry/registry.ts';

const POSTPONED = 16;

export interface BlobsOptions {
  readonly id: string;
  readonly prefix: string;
  readonly bus: Bus;
  readonly storage: Storage;
  readonly digest: Digest;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  /** Default LIMITS.blobBytes. */
  readonly capBytes: number | undefined;
  readonly registry: () => Registry;
  /** The other masters whose brokers are reached, and the way of uploaded files to one. */
  readonly reached: () => string[];
  readonly busOf: (master: string) => Bus | undefined;
}

/** What a master keeps of uploads, whoever leads: outside the log, on its own disk, and exchanged with the others. */
export class Blobs {
  readonly store: BlobStore;
  readonly exchange: BlockExchange;
  readonly keeper: BlobKeeper;
  readonly collector: BlobCollector;
  readonly capBytes: number;
  /** Another master has all of a blob on its disk. */
  onKept: (from: string, blob: string) => void = () => undefined;
  /** Another master has no room for it. */
  onFull: (from: string, blob: string) => void = () => undefined;
  readonly #options: BlobsOptions;
  /** What waits for a connection to stand. */
  readonly #postponed = new WeakMap<Bus, Outgoing<typeof MASTER_BLOCKS>[]>();

  private constructor(options: BlobsOptions, store: BlobStore) {
    const { digest, clock, log, capBytes = LIMITS.blobBytes } = options;
    this.#options = options;
    this.store = store;
    this.capBytes = capBytes;
    this.exchange = new BlockExchange({
      store,
      digest,
      clock,
      peers: { reached: options.reached, send: (peer, message) => this.send(peer, message) },
    });
    this.keeper = new BlobKeeper({
      store,
      exchange: this.exchange,
      clock,
      log,
      makeRoom: async (bytes, owner) => {
        await this.collector.makeRoom(bytes, owner);
        return store.bytes + bytes <= capBytes;
      },
    });
    this.collector = new BlobCollector({
      store,
      clock,
      log,
      capBytes,
      named: () => this.named(),
      isPinned: (hash) => this.keeper.isPinned(hash),
    });
  }

  /** Opens the store, and begins to listen to the other masters. Rejects with a StorageError. */
  static async open(options: BlobsOptions): Promise<Blobs> {
    const { storage, digest, clock, log, counters, bus, prefix, id } = options;
    const store = await openBlobStore({
      storage,
      digest,
      clock,
      folder: 'blobs',
      leastBytes: LIMITS.blockRoomBytes,
      onCorrupt: (block) => {
        counters.count('damaged block of an upload');
        log.error('a block of an upload is damaged; it is set aside, and taken from another master', { block });
      },
    });
    const blobs = new Blobs(options, store);
    await bus.subscribe(topicOf(prefix, { kind: 'blocks', session: id }), TOPICS.blocks.qos, ({ topic, payload }) => {
      const from = parseTopic(prefix, topic)?.name;
      if (from !== undefined) blobs.#received(from, payload);
    });
    blobs.collector.start();
    return blobs;
  }

  /** What is lost is asked for again. */
  send(peer: string, message: Outgoing<typeof MASTER_BLOCKS>): void {
    const { busOf, prefix, id, log } = this.#options;
    const bus = busOf(peer);
    if (bus === undefined) return;
    // Made just now, it is connected in a moment.
    if (!bus.connected) return this.#postpone(bus, peer, message);
    bus
      .publish(topicOf(prefix, { kind: 'blocks', session: peer, name: id }), write(MASTER_BLOCKS, message), { qos: 1 })
      .catch((error: unknown) => log.debug('block not sent', { peer, error: String(error) }));
  }

  #postpone(bus: Bus, peer: string, message: Outgoing<typeof MASTER_BLOCKS>): void {
    const known = this.#postponed.get(bus);
    const messages = known ?? [];
    if (messages.length < POSTPONED) messages.push(message);
    if (known !== undefined) return;
    this.#postponed.set(bus, messages);
    bus.onConnected(() => {
      for (const late of messages.splice(0)) this.send(peer, late);
    });
  }

  /** The blobs that somebody may still need. */
  named(): Set<string> {
    const { tasks, store } = this.#options.registry();
    return namedBlobs(tasks.values(), store.values());
  }

  stop(): void {
    this.collector.stop();
  }

  #received(from: string, payload: Uint8Array): void {
    const { counters, log } = this.#options;
    const taken = read(MASTER_BLOCKS, payload);
    if (taken instanceof Fault) return void counters.count(`blocks: ${taken.code}`);
    const { message } = taken;
    switch (message.type) {
      case 'WANT':
        this.exchange
          .wanted(from, message.blocks)
          .catch((error: unknown) => log.warn('block not read', { error: String(error) }));
        return;
      case 'BLOCK':
      case 'LACK':
        return this.exchange.answered(from, message);
      case 'KEEP': {
        const { blob, owner, size } = message;
        void this.keeper.keep(blob, owner, size, [from]).then((keeping) => {
          if (keeping === 'kept') this.send(from, { type: 'KEPT', blob });
          else if (keeping === 'full') this.send(from, { type: 'FULL', blob });
        });
        return;
      }
      case 'FULL':
        return this.onFull(from, message.blob);
      case 'KEPT':
        return this.onKept(from, message.blob);
    }
  }
}
