import { type Random, randomWord } from '../io/random.ts';
import { convert } from '../protocol/conversion.ts';
import { Fault } from '../protocol/faults.ts';
import type { Holdings } from '../protocol/holdings.ts';
import type { Offer } from '../protocol/offer.ts';
import type { OperationStatus, ResourceOperation } from '../protocol/operations.ts';
import { add, contains, subtract } from '../protocol/resource-arithmetic.ts';

/** Reservations and volumes of the agents of a {@link TestMaster}, and what is said of the operations that make them. */
export class TestOperations {
  readonly #random: Random;
  /** Agent → what has been made of it. */
  readonly #holdings = new Map<string, Holdings>();
  /** `framework operation` → an end that was not acknowledged. */
  readonly #ended = new Map<string, { readonly framework: string; readonly status: OperationStatus }>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Carries it out on the offer; what to tell, where the operation has an id. */
  operate(framework: string, offer: Offer | undefined, operation: ResourceOperation): OperationStatus | undefined {
    const key = `${framework} ${operation.id}`;
    const known = this.#ended.get(key);
    if (known !== undefined) return known.status;
    const result = offer === undefined ? new Fault('OFFER_GONE') : this.#convert(framework, offer, operation);
    if (operation.id === undefined) return undefined;
    const about = { operation: operation.id, uuid: randomWord(this.#random, 16) };
    if (result instanceof Fault) {
      const state = offer === undefined ? 'OPERATION_DROPPED' : 'OPERATION_ERROR';
      return { ...about, state, message: result.message, acknowledge: false };
    }
    const status: OperationStatus = { ...about, state: 'OPERATION_FINISHED', converted: result, acknowledge: true };
    this.#ended.set(key, { framework, status });
    return status;
  }

  acknowledge(framework: string, operation: string): void {
    this.#ended.delete(`${framework} ${operation}`);
  }

  /** What a framework has not acknowledged. */
  of(framework: string): OperationStatus[] {
    return [...this.#ended.values()].filter((one) => one.framework === framework).map(({ status }) => status);
  }

  answer(framework: string, operation: string): OperationStatus {
    const known = this.#ended.get(`${framework} ${operation}`)?.status;
    return known ?? { operation, uuid: 'none', state: 'OPERATION_UNKNOWN', acknowledge: false };
  }

  #convert(framework: string, offer: Offer, operation: ResourceOperation): Offer['resources'] | Fault {
    const conversion = convert(this.#holdings.get(offer.name) ?? {}, operation, { role: offer.role, by: framework });
    if (conversion instanceof Fault) return conversion;
    if (!contains(offer.resources, conversion.from))
      return new Fault('OVER_OFFER', 'resources: they are not in the offer');
    this.#holdings.set(offer.name, conversion);
    offer.resources = add(subtract(offer.resources, conversion.from), conversion.to);
    return conversion.to;
  }
}
