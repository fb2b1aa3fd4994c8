import type { Bus, QoS } from '../io/bus.ts';
import type { MessagePacking } from '../io/compression.ts';
import type { Log } from '../io/log.ts';
import { AGENT_UP } from '../protocol/agent-link.ts';
import { type Outgoing, write } from '../protocol/envelope.ts';
import { isPacked, type PackingFacts, packed, unpacked } from '../protocol/packing.ts';
import { topicOf } from '../protocol/topics.ts';
import type { Cluster } from './membership.ts';

interface UpLinkWorld {
  readonly bus: Bus;
  readonly log: Log;
  readonly prefix: string;
  readonly name: string;
  readonly agent: string;
  readonly boot: string;
  /** Absent: nothing is ever packed. */
  readonly packing: MessagePacking | undefined;
}

/** What the agent says to the leader, as bytes on its topic: packed where the leader takes that. */
export class UpLink {
  readonly #world: UpLinkWorld;
  readonly #cluster: () => Cluster | undefined;
  readonly topic: string;
  /** The leader takes what is packed with our dictionary. */
  packs = false;

  constructor(world: UpLinkWorld, cluster: () => Cluster | undefined) {
    this.#world = world;
    this.#cluster = cluster;
    this.topic = topicOf(world.prefix, { kind: 'up', name: world.name });
  }

  /** Rejects where it could not be sent. */
  deliver(message: Outgoing<typeof AGENT_UP>, qos: QoS = 1): Promise<void> {
    return this.#world.bus.publish(this.topic, this.written(message), { qos });
  }

  /** What is lost is repeated by whoever wanted it. */
  publish(message: Outgoing<typeof AGENT_UP>, qos: QoS = 1): void {
    this.deliver(message, qos).catch((error: unknown) => {
      this.#world.log.debug('message not sent', { type: message.type, error: String(error) });
    });
  }

  written(message: Outgoing<typeof AGENT_UP>): Uint8Array {
    const { packing } = this.#world;
    const plain = write(AGENT_UP, message);
    return this.packs && packing !== undefined ? packed(plain, this.#facts, packing) : plain;
  }

  /** What the leader has packed, or the bytes as they came. */
  plain(payload: Uint8Array): Uint8Array {
    const { packing } = this.#world;
    if (packing === undefined || !isPacked(payload)) return payload;
    return unpacked(payload, this.#facts, packing) ?? payload;
  }

  get #facts(): PackingFacts {
    const { agent, boot } = this.#world;
    return { cluster: this.#cluster()?.uuid ?? '', agent, boot };
  }
}
