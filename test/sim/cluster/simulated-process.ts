import type { Bus } from '../../../io/bus.ts';
import type { MessagePacking } from '../../../io/compression.ts';
import type { Log, LogFields } from '../../../io/log.ts';
import { decode, encode } from '../../../protocol/envelope.ts';
import { Fault } from '../../../protocol/faults.ts';
import { isPacked } from '../../../protocol/packing.ts';
import { connectSimulatedBus, type SimulatedBus, type SimulatedBusOptions } from '../bus.ts';
import type { VirtualClock } from '../clock.ts';
import type { SimulatedNetwork } from '../network.ts';
import { ProcessClock } from '../process-clock.ts';
import { SeededRandom } from '../random.ts';
import { CountedPacking, type PackedTally } from './counted-packing.ts';

/** A version that is one ahead says something new so often. */
const UNHEARD_OF = 0.02;
/** Where there are two versions, a process of the older one knows so often nothing of packing. */
const PACKS_NOTHING = 0.5;

/** Where all processes live: one time, one network, one seed. */
export interface Surroundings {
  readonly clock: VirtualClock;
  readonly network: SimulatedNetwork;
  readonly random: SeededRandom;
  /** Of processes, by the ids of their clients and the URLs of their brokers. */
  readonly owners: Map<string, ProcessClock>;
  /** Processes by that name that are started now are of the next version. */
  readonly isNewer: (name: string) => boolean;
  /** Processes of both versions may meet. */
  readonly mixed: boolean;
  readonly packed: PackedTally;
  readonly say: (who: string, what: string, fields?: object) => void;
}

/** One life of a process: its clock and its connections, which end with it. */
export class SimulatedProcess {
  readonly clock: ProcessClock;
  readonly random: SeededRandom;
  readonly log: Log;
  readonly #around: Surroundings;
  readonly #buses: SimulatedBus[] = [];

  /** It speaks as the next version may: with fields and messages that nobody here knows. */
  readonly #newer: boolean;
  readonly #packsNothing: boolean;
  #packing: CountedPacking | undefined;

  constructor(around: Surroundings, name: string, rate: number, wallMs: () => number) {
    this.#around = around;
    this.#newer = around.isNewer(name);
    this.clock = new ProcessClock(around.clock, rate, wallMs);
    this.random = new SeededRandom(around.random.below(2 ** 32));
    this.#packsNothing = around.mixed && !this.#newer && this.random.chance(PACKS_NOTHING);
    const tell = (event: string, fields?: LogFields): void => {
      if (!this.clock.killed) around.say(name, event, fields);
    };
    this.log = { debug: () => undefined, info: tell, warn: tell, error: tell };
  }

  connect(options: SimulatedBusOptions): SimulatedBus & Bus {
    const { owners, network } = this.#around;
    owners.set(options.clientId, this.clock);
    const bus = connectSimulatedBus(network, { ...options, clock: this.clock });
    this.#buses.push(bus);
    if (this.#newer) {
      const publish = bus.publish.bind(bus);
      bus.publish = (topic, payload, how) => {
        const { told, unheardOf } = isPacked(payload) ? this.#packedNews(topic, payload) : withNews(topic, payload);
        if (unheardOf !== undefined && this.random.chance(UNHEARD_OF)) publish(topic, unheardOf).catch(() => undefined);
        return publish(topic, told, how);
      };
    }
    return bus;
  }

  /** As an option of whoever reads what goes to masters, or to agents; nothing where its version packs nothing. */
  packing(reads: 'toMasters' | 'toAgents'): { packing?: MessagePacking } {
    if (this.#packsNothing) return {};
    this.#packing = new CountedPacking(this.#around.packed, reads);
    return { packing: this.#packing };
  }

  /** What is sent packed was packed just before. */
  #packedNews(topic: string, payload: Uint8Array): News {
    const packing = this.#packing;
    if (packing === undefined) return { told: payload };
    const { told, unheardOf } = withNews(topic, packing.lastPlain);
    const again = (plain: Uint8Array): Uint8Array => Uint8Array.of(payload[0] ?? 0, ...packing.packLikeLast(plain));
    return { told: again(told), ...(unheardOf === undefined ? {} : { unheardOf: again(unheardOf) }) };
  }

  pause(): void {
    this.clock.pause();
    this.#around.network.pause((client, url) => this.#sleeps(client, url));
  }

  resume(): void {
    this.clock.resume();
    this.#around.network.pause((client, url) => this.#sleeps(client, url));
  }

  kill(): void {
    this.clock.kill();
    this.#around.network.pause((client, url) => this.#sleeps(client, url));
    for (const bus of this.#buses) bus.kill();
  }

  #sleeps(client: string | undefined, url: string | undefined): boolean {
    return this.#around.owners.get(client ?? url ?? '')?.paused === true;
  }
}

interface News {
  readonly told: Uint8Array;
  readonly unheardOf?: Uint8Array;
}

/** What it says with a field more, and a message of a type that nobody knows. */
function withNews(topic: string, payload: Uint8Array): News {
  const decoded = topic.includes('/state/') || payload.length === 0 ? undefined : decode(payload);
  if (decoded === undefined || decoded instanceof Fault) return { told: payload };
  const { value, encoding } = decoded;
  const told = encode({ ...(value as object), later: { said: [1, 'by the next version'] } }, encoding);
  return 'type' in (value as object)
    ? { told, unheardOf: encode({ ...(value as object), type: 'LATER' }, encoding) }
    : { told };
}
