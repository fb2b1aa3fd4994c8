import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { parseAttributes } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import {
  containsQuantities,
  parseQuantities,
  type Quantities,
  quantitiesOf,
  subtractQuantities,
} from '../../protocol/quantities.ts';
import {
  add,
  allocatableTo,
  contains,
  equals,
  find,
  scalarOf,
  shrinkToLimits,
  shrinkToQuantities,
  subtract,
  toUnreserved,
} from '../../protocol/resource-arithmetic.ts';
import { resourcesFromJson } from '../../protocol/resource-json.ts';
import { addRanges, subtractRanges } from '../../protocol/resource-ranges.ts';
import { formatScalar, scalarFromNumber } from '../../protocol/resource-scalar.ts';
import { parseValue } from '../../protocol/resource-value.ts';
import { parseResources, type Resources } from '../../protocol/resources.ts';

/** A file of vectors read off Mesos's own tests. They are no part of the project: without them this file says so and passes. */
const { MESQ_CASES: CASES } = process.env;

interface Vector {
  readonly id: string;
  readonly op: string;
  readonly expect: unknown;
  readonly [field: string]: unknown;
}

const ERROR = 'error';
const text = (value: unknown): string => String(value);

/** What an operation gives, in the words of the vectors: units instead of thousandths, `error` instead of a fault. */
function run(t: ExecutionContext, vector: Vector): unknown {
  const field = (name: string): unknown => vector[name];
  const given = (name: string): Resources => read(t, text(field(name)));
  const amounts = (name: string): Quantities => {
    const parsed = parseQuantities(text(field(name)));
    return parsed instanceof Fault ? t.fail(parsed.message) : parsed;
  };
  switch (vector.op) {
    case 'parseValue': {
      const value = parseValue(text(field('input')));
      if (value instanceof Fault) return ERROR;
      if (value.type === 'SCALAR') return { type: value.type, value: value.scalar / 1000 };
      if (value.type === 'RANGES') return { type: value.type, value: value.ranges };
      return { type: value.type, value: value.type === 'SET' ? value.set : value.text };
    }
    case 'parseResources': {
      const role = field('defaultRole');
      return inUnits(parseResources(text(field('input')), typeof role === 'string' ? role : undefined));
    }
    case 'parseResourcesJson': {
      const role = field('defaultRole');
      return inUnits(resourcesFromJson(field('input'), typeof role === 'string' ? role : undefined));
    }
    case 'parseAttributes': {
      const attributes = parseAttributes(text(field('input')));
      if (attributes instanceof Fault) return ERROR;
      return attributes.map(({ name, scalar, ...rest }) =>
        scalar === undefined ? { name, ...rest } : { name, scalar: scalar / 1000 },
      );
    }
    case 'parseQuantities': {
      const quantities = parseQuantities(text(field('input')));
      return quantities instanceof Fault ? ERROR : asRecord(quantities);
    }
    case 'formatScalar':
      return formatScalar(scalarFromNumber(Number(field('input'))) ?? t.fail('not a scalar'));
    case 'rangesAdd':
      return addRanges(ranges(t, field('a')), ranges(t, field('b')));
    case 'rangesSubtract':
      return subtractRanges(ranges(t, field('a')), ranges(t, field('b')));
    case 'setSubtract': {
      const [left] = subtract(read(t, `s:${field('a')}`), read(t, `s:${field('b')}`));
      return left?.set ?? [];
    }
    case 'add':
      return matches(add(given('a'), given('b')), vector, t);
    case 'subtract':
      return matches(subtract(given('a'), given('b')), vector, t);
    case 'contains':
      return contains(given('a'), given('b'));
    case 'equals':
      return equals(given('a'), given('b'));
    case 'getScalar': {
      const scalar = scalarOf(given('input'), text(field('name')));
      return scalar === undefined ? null : scalar / 1000;
    }
    case 'repeatAddSubtract': {
      const delta = given('delta');
      let resources = given('start');
      for (let time = 0; time < Number(field('times')); time++) resources = add(resources, delta);
      for (let time = 0; time < Number(field('times')); time++) resources = subtract(resources, delta);
      return matches(resources, vector, t);
    }
    case 'allocatableTo':
      return matches(allocatableTo(given('input'), text(field('role'))), vector, t);
    case 'find': {
      const found = find(given('have'), given('want'));
      return found === undefined ? null : matches(found, vector, t);
    }
    case 'toUnreserved':
      return matches(toUnreserved(given('input')), vector, t);
    case 'shrinkToQuantities':
      return matches(shrinkToQuantities(given('input'), amounts('quantities')), vector, t);
    case 'shrinkToLimits':
      return matches(shrinkToLimits(given('input'), amounts('limits')), vector, t);
    case 'containsQuantities':
      return containsQuantities(quantitiesOf(given('input')), amounts('quantities'));
    case 'quantitiesSubtract':
      return asRecord(subtractQuantities(amounts('a'), amounts('b')));
    case 'quantitiesOf':
      return asRecord(quantitiesOf(given('input')));
    default:
      return t.fail(`an operation this runner does not know: ${vector.op}`);
  }
}

function read(t: ExecutionContext, written: string): Resources {
  const resources = parseResources(written);
  return resources instanceof Fault ? t.fail(resources.message) : resources;
}

function ranges(t: ExecutionContext, written: unknown) {
  const value = parseValue(text(written));
  return value instanceof Fault || value.type !== 'RANGES' ? t.fail(`not ranges: ${written}`) : value.ranges;
}

function inUnits(resources: Resources | Fault): unknown {
  if (resources instanceof Fault) return ERROR;
  return resources.map(({ role = '*', scalar, ...rest }) => ({
    ...rest,
    role,
    ...(scalar === undefined ? {} : { scalar: scalar / 1000 }),
  }));
}

function asRecord(quantities: Quantities): unknown {
  return Object.fromEntries(quantities.map(({ name, amount }) => [name, amount / 1000]));
}

/** Resources mean the same in any order: gives the expectation itself where they do. */
function matches(resources: Resources, { expect }: Vector, t: ExecutionContext): unknown {
  return typeof expect === 'string' && equals(resources, read(t, expect)) ? expect : resources;
}

test('the vectors of Mesos', (t) => {
  if (CASES === undefined) {
    t.log('skipped: MESQ_CASES names no file of vectors');
    t.pass();
    return;
  }
  const { resourceCases }: { resourceCases: readonly Vector[] } = JSON.parse(readFileSync(CASES, 'utf8'));
  for (const vector of resourceCases) t.deepEqual(run(t, vector), vector.expect, vector.id);
  t.log(`${resourceCases.length} vectors`);
});
