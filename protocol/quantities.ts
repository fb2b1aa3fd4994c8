import * as v from 'valibot';
import { faultAt, faultIn } from './fault-at.ts';
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { amountOf } from './resource-arithmetic.ts';
import { NAME_PROBLEM, RESOURCE_NAME } from './resource-name.ts';
import { formatScalar } from './resource-scalar.ts';
import { trim, valueAt } from './resource-value.ts';
import type { Resources } from './resources.ts';

/** How much of a name, whatever its role: a scalar's value, or how many members its ranges or set have. */
export interface Quantity {
  readonly name: string;
  /** In integer thousandths, above 0. */
  readonly amount: number;
}

/** Amounts as shares, quotas and limits need them; each name once, none zero (Mesos: ResourceQuantities). */
export type Quantities = readonly Quantity[];
/**
 * `cpus:4;mem:2048`: numbers only, none negative. White space and empty parts are ignored, zeros dropped, equal names
 * added up. Faults: BAD_RESOURCES with the character where reading stopped.
 */
export function parseQuantities(text: string): Quantities | Fault {
  const written = parseLimits(text);
  return written instanceof Fault ? written : written.filter(({ amount }) => amount > 0);
}

/** As {@link parseQuantities}, but zeros stay: a limit of 0 is not the same as none. */
export function parseLimits(text: string): Quantities | Fault {
  if (text.length > LIMITS.resourcesLength)
    return new Fault('TOO_LARGE', `quantities have at most ${LIMITS.resourcesLength} characters`);
  let quantities: Quantities = [];
  let from = 0;
  for (const part of text.split(';')) {
    const place = trim({ code: 'BAD_RESOURCES', text, from, to: from + part.length });
    from += part.length + 1;
    if (place.from === place.to) continue;
    const colon = text.slice(place.from, place.to).indexOf(':');
    if (colon < 0) return faultAt('BAD_RESOURCES', text, place.to, '":" and a number');
    const { from: begin, to: end } = trim({ ...place, to: place.from + colon });
    const name = text.slice(begin, end);
    if (!RESOURCE_NAME.test(name)) return faultIn('BAD_RESOURCES', text, begin, NAME_PROBLEM);
    const value = valueAt({ ...place, from: place.from + colon + 1 });
    if (value instanceof Fault) return value;
    if (value.type !== 'SCALAR' || value.scalar < 0)
      return faultIn('BAD_RESOURCES', text, place.from + colon + 1, 'expected a number, 0 or above');
    const known = quantities.some((quantity) => quantity.name === name);
    quantities = known
      ? quantities.map((one) => (one.name === name ? { name, amount: one.amount + value.scalar } : one))
      : [...quantities, { name, amount: value.scalar }];
    if (quantities.length > LIMITS.resources)
      return faultIn('BAD_RESOURCES', text, begin, `there are more than ${LIMITS.resources} names`);
  }
  return quantities;
}

/** The way back from {@link parseQuantities}. */
export function formatQuantities(quantities: Quantities): string {
  return quantities.map(({ name, amount }) => `${name}:${formatScalar(amount)}`).join(';');
}

/** What resources come to, over all roles. */
export function quantitiesOf(resources: Resources): Quantities {
  const quantities: { name: string; amount: number }[] = [];
  for (const resource of resources) {
    const same = quantities.find(({ name }) => name === resource.name);
    if (same === undefined) quantities.push({ name: resource.name, amount: amountOf(resource) });
    else same.amount += amountOf(resource);
  }
  return quantities;
}

/** The amount of a name; 0 where there is none. */
export function amountOfName(quantities: Quantities, name: string): number {
  for (const quantity of quantities) if (quantity.name === name) return quantity.amount;
  return 0;
}

export function addQuantities(a: Quantities, b: Quantities): Quantities {
  const more = b.filter(({ name }) => amountOfName(a, name) === 0);
  return [...a.map(({ name, amount }) => ({ name, amount: amount + amountOfName(b, name) })), ...more];
}

/** What falls to zero or below is dropped. */
export function subtractQuantities(a: Quantities, b: Quantities): Quantities {
  const left = a.map(({ name, amount }) => ({ name, amount: amount - amountOfName(b, name) }));
  return left.filter(({ amount }) => amount > 0);
}

/** True where `a` has at least as much of each name as `b`. */
export function containsQuantities(a: Quantities, b: Quantities): boolean {
  return b.every(({ name, amount }) => amountOfName(a, name) >= amount);
}

/** On the wire: an array of {@link Quantity}, or text such as `cpus:4;mem:2048`. Output: canonical quantities. */
export const QuantitiesSchema = v.pipe(
  v.union([
    v.string(),
    v.pipe(
      v.array(
        v.object({
          name: v.pipe(v.string(), v.regex(RESOURCE_NAME, NAME_PROBLEM)),
          amount: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(LIMITS.scalarThousandths)),
        }),
      ),
      v.maxLength(LIMITS.resources),
    ),
  ]),
  v.rawTransform(({ dataset, addIssue, NEVER }): Quantities => {
    if (typeof dataset.value !== 'string') {
      return dataset.value.reduce<Quantities>(
        (sum, quantity) => (quantity.amount > 0 ? addQuantities(sum, [quantity]) : sum),
        [],
      );
    }
    const quantities = parseQuantities(dataset.value);
    if (!(quantities instanceof Fault)) return quantities;
    addIssue({ message: quantities.message });
    return NEVER;
  }),
);

/** As {@link QuantitiesSchema}, but zeros stay. */
export const LimitsSchema = v.pipe(
  v.union([
    v.string(),
    v.pipe(
      v.array(
        v.object({
          name: v.pipe(v.string(), v.regex(RESOURCE_NAME, NAME_PROBLEM)),
          amount: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(LIMITS.scalarThousandths)),
        }),
      ),
      v.maxLength(LIMITS.resources),
    ),
  ]),
  v.rawTransform(({ dataset, addIssue, NEVER }): Quantities => {
    const { value } = dataset;
    const quantities = typeof value === 'string' ? parseLimits(value) : value;
    if (quantities instanceof Fault) addIssue({ message: quantities.message });
    else if (new Set(quantities.map(({ name }) => name)).size < quantities.length)
      addIssue({ message: 'a name is there twice' });
    else return quantities;
    return NEVER;
  }),
);
