import test from 'ava';
import fc from 'fast-check';
import { convert } from '../../protocol/conversion.ts';
import { Fault } from '../../protocol/faults.ts';
import { type Holdings, withHoldings } from '../../protocol/holdings.ts';
import type { ResourceOperation } from '../../protocol/operations.ts';
import { quantitiesOf } from '../../protocol/quantities.ts';
import { add, contains, equals, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources } from '../../protocol/resources.ts';
import { resourcesOf } from '../resources-of.ts';

const REPORTED = resourcesOf('cpus:8;mem:4096;disk:1000;cpus(a):2;disk(a):100');
const role = fc.constantFrom('a', 'a/b', 'a/b/c');
const by = fc.constantFrom('fw1', 'fw2');
const amount = fc.integer({ min: 1, max: 3 });
const volume = fc.constantFrom('v1', 'v2');

/** What somebody might ask for: much of it cannot be. */
const step = fc
  .record({
    role,
    by,
    amount,
    volume,
    from: fc.constantFrom('*', 'a', 'a/b'),
    kind: fc.constantFrom(0, 0, 0, 1, 2, 2, 3, 4, 5),
  })
  .map(({ role, by, amount, volume, from, kind }): { operation: ResourceOperation; converter: Converter } => {
    const plain = resourcesOf(`cpus(${role}):${amount};disk(${role}):${amount * 10}`);
    const whole = resourcesOf(`disk(${role})[${volume}]:${amount * 10}`);
    const operations: ResourceOperation[] = [
      { type: 'RESERVE', resources: plain, from },
      { type: 'UNRESERVE', resources: plain },
      { type: 'CREATE', resources: whole },
      { type: 'DESTROY', resources: whole },
      { type: 'GROW_VOLUME', resources: whole, by: 10_000 },
      { type: 'SHRINK_VOLUME', resources: whole, by: 10_000 },
    ];
    const operation = operations[kind] ?? { type: 'UNRESERVE', resources: plain };
    return { operation, converter: { role, by } };
  });

interface Converter {
  role: string;
  by: string;
}

test('an agent has after every operation what the operation says, and never more or less in all', (t) => {
  let done = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let holdings: Holdings = {};
      let total = REPORTED;
      for (const { operation, converter } of steps) {
        const conversion = convert(holdings, operation, converter);
        if (conversion instanceof Fault || !contains(total, conversion.from)) continue;
        done++;
        const after = add(subtract(total, conversion.from), conversion.to);
        holdings = conversion;
        total = withHoldings(REPORTED, holdings);
        if (!equals(total, after)) throw new Error(`${formatResources(total)} is not ${formatResources(after)}`);
        if (JSON.stringify(sorted(total)) !== JSON.stringify(sorted(REPORTED))) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.true(done > 500, `only ${done} were not refused`);
});

function sorted(resources: typeof REPORTED): unknown {
  return quantitiesOf(resources)
    .map(({ name, amount }) => [name, amount])
    .sort();
}

test('everything that frameworks made can be undone, and an operator may undo it all', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let holdings: Holdings = {};
      for (const { operation, converter } of steps) {
        const conversion = convert(holdings, operation, converter);
        if (conversion instanceof Fault) continue;
        if (contains(withHoldings(REPORTED, holdings), conversion.from)) holdings = conversion;
      }
      const anybody = { role: undefined, by: undefined };
      const take = (operation: ResourceOperation): void => {
        const conversion = convert(holdings, operation, anybody);
        if (conversion instanceof Fault) throw new Error(conversion.message);
        if (!contains(withHoldings(REPORTED, holdings), conversion.from)) throw new Error('not there');
        holdings = conversion;
      };
      for (const { volume, role, scalar } of holdings.volumes ?? [])
        take({ type: 'DESTROY', resources: [{ name: 'disk', role, volume, scalar }] });
      // What was refined last is below what it was refined from.
      for (const level of ['a/b/c', 'a/b', 'a']) {
        const own = (holdings.reservations ?? [])
          .flatMap(({ resources }) => resources)
          .filter((one) => one.role === level);
        for (const resource of own) take({ type: 'UNRESERVE', resources: [resource] });
      }
      return equals(withHoldings(REPORTED, holdings), REPORTED) && (holdings.reservations ?? []).length === 0;
    }),
  );
  t.pass();
});

test('who may convert what', (t) => {
  const code = (holdings: Holdings, operation: ResourceOperation, converter: Converter): string => {
    const result = convert(holdings, operation, converter);
    return result instanceof Fault ? result.code : 'done';
  };
  const fw1 = { role: 'a', by: 'fw1' };
  const fw2 = { role: 'a', by: 'fw2' };
  const reserve: ResourceOperation = { type: 'RESERVE', resources: resourcesOf('disk(a):10'), from: '*' };
  t.is(code({}, reserve, fw1), 'done');
  t.is(code({}, reserve, { role: 'a/b', by: 'fw1' }), 'NOT_ALLOWED', 'another role than the offer has');
  t.is(code({}, { ...reserve, from: 'a' }, fw1), 'BAD_SHAPE', 'from itself');
  t.is(code({}, { ...reserve, from: 'b' }, fw1), 'BAD_SHAPE', 'from somebody else');
  const holdings: Holdings = {
    reservations: [{ resources: resourcesOf('disk(a):10'), from: '*', by: 'fw1' }],
    volumes: [{ volume: 'v', role: 'a', scalar: 10_000, by: 'fw1' }],
  };
  const back: ResourceOperation = { type: 'UNRESERVE', resources: resourcesOf('disk(a):10') };
  t.is(code(holdings, back, fw1), 'done');
  t.is(code(holdings, back, fw2), 'NOT_FOUND');
  const destroy: ResourceOperation = { type: 'DESTROY', resources: resourcesOf('disk(a)[v]:10') };
  t.is(code(holdings, destroy, fw1), 'done');
  t.is(code(holdings, destroy, fw2), 'NOT_ALLOWED');
  t.is(code(holdings, { ...destroy, resources: resourcesOf('disk(a)[v]:9') }, fw1), 'NOT_FOUND', 'another size');
  t.is(code(holdings, { type: 'CREATE', resources: resourcesOf('disk(a)[v]:1') }, fw2), 'EXISTS');
});
