import type { AedesPublishPacket } from 'aedes';

/**
 * Answers at once, where a promise would answer in a later turn. Aedes numbers a packet when `publish` begins, awaits
 * its persistence, and drops what arrives with a lower number than the last: a packet that waits less overtakes and
 * kills the one before (moscajs/aedes #994, #955). With answers in the same turn every packet reaches the emitter in
 * the order of its number. Aedes calls only `then` and `finally` on them.
 */
interface Immediate<Value> {
  then(resolved: (value: Value) => void): void;
  finally(settled: () => void): void;
}

function now<Value>(value: Value): Immediate<Value> {
  return {
    // biome-ignore lint/suspicious/noThenProperty: being a thenable that answers synchronously is its purpose.
    then: (resolved) => resolved(value),
    finally: (settled) => settled(),
  };
}

function never(error: Error): { then(resolved: () => void, rejected: (error: Error) => void): void } {
  return {
    // biome-ignore lint/suspicious/noThenProperty: as above.
    then: (_resolved, rejected) => rejected(error),
  };
}

interface Retained {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
}

interface Identified {
  readonly id: string;
}

interface Numbered {
  readonly messageId?: number;
}

/**
 * The persistence Aedes is given: sessions are clean, so all it keeps is what is retained, wills of live connections
 * and half-received QoS 2 messages. A subscription to an exact topic looks its retained message up; only a wildcard
 * looks through all of them (Aedes' own scans 10,000 in 5 ms for each SUBSCRIBE).
 */
export class CleanSessionPersistence {
  /** Retained messages looked at so far, to answer subscriptions. */
  examined = 0;
  readonly #retained = new Map<string, Retained>();
  readonly #incoming = new Map<string, Map<number, unknown>>();

  get retainedCount(): number {
    return this.#retained.size;
  }

  /** Aedes insists on an async function. */
  async setup(): Promise<void> {}

  storeRetained(packet: AedesPublishPacket): Immediate<undefined> {
    const { topic, qos } = packet;
    const payload = typeof packet.payload === 'string' ? new TextEncoder().encode(packet.payload) : packet.payload;
    if (payload.length === 0) this.#retained.delete(topic);
    else this.#retained.set(topic, { topic, payload, qos });
    return now(undefined);
  }

  /** What Aedes pipes to a new subscriber. */
  createRetainedStreamCombi(filters: readonly string[]): {
    pipe(to: { write(packet: object): unknown; end(): unknown }): void;
  } {
    return {
      pipe: (to) => {
        for (const packet of this.matching(filters)) to.write({ cmd: 'publish', ...packet, retain: true });
        to.end();
      },
    };
  }

  /** What is retained on topics that match any of `filters`, each once. */
  *matching(filters: readonly string[]): Generator<Retained> {
    const wildcards: string[][] = [];
    const sent = new Set<string>();
    for (const filter of filters) {
      if (/[+#]/.test(filter)) {
        wildcards.push(filter.split('/'));
        continue;
      }
      this.examined++;
      const exact = this.#retained.get(filter);
      if (exact !== undefined && !sent.has(filter)) yield exact;
      sent.add(filter);
    }
    if (wildcards.length === 0) return;
    for (const retained of this.#retained.values()) {
      this.examined++;
      const levels = retained.topic.split('/');
      if (!sent.has(retained.topic) && wildcards.some((filter) => matches(filter, levels))) yield retained;
    }
  }

  subscriptionsByTopic(): Immediate<never[]> {
    return now([]);
  }

  subscriptionsByClient(): Immediate<never[]> {
    return now([]);
  }

  addSubscriptions(): Immediate<undefined> {
    return now(undefined);
  }

  removeSubscriptions(): Immediate<undefined> {
    return now(undefined);
  }

  cleanSubscriptions(client: Identified): Immediate<Identified> {
    return now(client);
  }

  outgoingEnqueue(): Immediate<undefined> {
    return now(undefined);
  }

  outgoingEnqueueCombi(): Immediate<undefined> {
    return now(undefined);
  }

  outgoingUpdate(): Immediate<undefined> {
    return now(undefined);
  }

  outgoingClearMessageId(): Immediate<undefined> {
    return now(undefined);
  }

  outgoingStream(): never[] {
    return [];
  }

  incomingStorePacket({ id }: Identified, packet: Numbered): Immediate<undefined> {
    const packets = this.#incoming.get(id) ?? new Map<number, unknown>();
    packets.set(packet.messageId ?? 0, packet);
    this.#incoming.set(id, packets);
    return now(undefined);
  }

  incomingGetPacket({ id }: Identified, packet: Numbered): unknown {
    const known = this.#incoming.get(id)?.get(packet.messageId ?? 0);
    return known === undefined ? never(new Error('no such packet')) : now(known);
  }

  incomingDelPacket({ id }: Identified, packet: Numbered): unknown {
    const packets = this.#incoming.get(id);
    const found = packets?.delete(packet.messageId ?? 0) === true;
    if (packets?.size === 0) this.#incoming.delete(id);
    return found ? now(undefined) : never(new Error('no such packet'));
  }

  cleanIncoming({ id }: Identified): Immediate<undefined> {
    this.#incoming.delete(id);
    return now(undefined);
  }

  /** Wills live with their connection: nothing is kept for a broker that died. */
  putWill(): Immediate<undefined> {
    return now(undefined);
  }

  delWill(): Immediate<undefined> {
    return now(undefined);
  }

  streamWill(): never[] {
    return [];
  }
}

function matches(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]?.startsWith('$') === true && (filter[0] === '#' || filter[0] === '+')) return false;
  for (let at = 0; ; at++) {
    const wanted = filter[at];
    const level = topic[at];
    if (wanted === '#') return true;
    if (wanted === undefined || level === undefined) return wanted === level;
    if (wanted !== '+' && wanted !== level) return false;
  }
}
