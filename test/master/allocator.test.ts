import test from 'ava';
import fc from 'fast-check';
import { add, contains, equals, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import { type Allocation, Allocator } from '../../master/allocator/allocator.ts';
import { explain } from '../../master/allocator/explain.ts';
import { resourcesOf } from '../resources-of.ts';

function short(allocations: Allocation[]): string[] {
  return allocations.map(({ framework, role, agent, resources }) => `${framework}@${role} ${agent} ${formatResources(resources)}`);
}

test('the role furthest below its share gets the whole agent, and within it the framework', (t) => {
  const allocator = new Allocator();
  allocator.setFramework('f1', ['r1'], []);
  allocator.addAgent('a1', resourcesOf('cpus:2;mem:1024'));
  t.deepEqual(short(allocator.allocate(['a1'], 0)), ['f1@r1 a1 cpus:2;mem:1024']);
  allocator.setFramework('f2', ['r2'], []);
  allocator.addAgent('a2', resourcesOf('cpus:1;mem:512'));
  t.deepEqual(short(allocator.allocate(['a2'], 0)), ['f2@r2 a2 cpus:1;mem:512']);
  allocator.setFramework('f3', ['r1'], []);
  allocator.addAgent('a3', resourcesOf('cpus:3;mem:2048'));
  t.deepEqual(short(allocator.allocate(['a3'], 0)), ['f2@r2 a3 cpus:3;mem:2048']);
  allocator.addAgent('a4', resourcesOf('cpus:4;mem:4096'));
  t.deepEqual(short(allocator.allocate(['a4'], 0)), ['f3@r1 a4 cpus:4;mem:4096']);
});

test('a refusal hides a subset for its time and one batch, not more', (t) => {
  const allocator = new Allocator();
  allocator.setFramework('f', ['r'], []);
  allocator.addAgent('a', resourcesOf('cpus:1;mem:512'));
  const [offer] = allocator.allocate(undefined, 0);
  t.truthy(offer);
  if (offer === undefined) return;
  allocator.recover(offer, 2_000, 0);
  t.deepEqual(allocator.allocate(undefined, 1_000), []);
  t.true(allocator.wantsBatch);
  t.is(allocator.allocate(undefined, 2_000).length, 1);
});

test('a filter shorter than the interval still holds for one batch; a bigger offer is not hidden', (t) => {
  const allocator = new Allocator();
  allocator.setFramework('f', ['r'], []);
  allocator.addAgent('a', resourcesOf('cpus:2;mem:512'));
  allocator.occupy({ framework: 'f', role: 'r', agent: 'a', resources: resourcesOf('cpus:1') });
  const [offer] = allocator.allocate(undefined, 0);
  if (offer === undefined) return t.fail();
  allocator.recover(offer, 1_000, 0);
  t.deepEqual(allocator.allocate(undefined, 60_000), [], 'first batch after the refusal');
  t.is(allocator.allocate(undefined, 120_000).length, 1);
  allocator.recover(offer, 600_000, 120_000);
  allocator.recover({ framework: 'f', role: 'r', agent: 'a', resources: resourcesOf('cpus:1') }, 0, 120_000);
  t.deepEqual(short(allocator.allocate(['a'], 120_000)), ['f@r a cpus:2;mem:512']);
});

test('suppressed and inactive frameworks get nothing; a revive clears filters', (t) => {
  const allocator = new Allocator();
  allocator.setFramework('f', ['r'], ['r']);
  allocator.addAgent('a', resourcesOf('cpus:1;mem:512'));
  t.deepEqual(allocator.allocate(undefined, 0), []);
  t.false(allocator.wantsBatch);
  allocator.revive('f', []);
  const [offer] = allocator.allocate(undefined, 0);
  if (offer === undefined) return t.fail();
  allocator.recover(offer, 3_600_000, 0);
  allocator.setActive('f', false);
  allocator.revive('f', ['r']);
  t.deepEqual(allocator.allocate(undefined, 0), []);
  allocator.setActive('f', true);
  t.is(allocator.allocate(undefined, 0).length, 1);
});

test('what is not worth an offer is not offered', (t) => {
  const allocator = new Allocator();
  allocator.setFramework('f', ['r'], []);
  allocator.addAgent('small', resourcesOf('cpus:0.005;mem:16;disk:128'));
  allocator.addAgent('mem', resourcesOf('cpus:0.005;mem:32;disk:128'));
  t.deepEqual(short(allocator.allocate(undefined, 0)), ['f@r mem cpus:0.005;mem:32;disk:128']);
});

test('an agent that is not offerable keeps what it has; a smaller total offers nothing until it is recovered', (t) => {
  const allocator = new Allocator();
  allocator.setFramework('f', ['r'], []);
  allocator.addAgent('a', resourcesOf('cpus:100;mem:100'));
  const [offer] = allocator.allocate(undefined, 0);
  allocator.updateAgent('a', resourcesOf('cpus:50;mem:50'));
  t.deepEqual(allocator.allocate(['a'], 0), []);
  if (offer === undefined) return t.fail();
  allocator.recover(offer, 0, 0);
  allocator.setOfferable('a', false);
  t.deepEqual(allocator.allocate(undefined, 0), []);
  allocator.setOfferable('a', true);
  t.deepEqual(short(allocator.allocate(undefined, 0)), ['f@r a cpus:50;mem:50']);
});

test('offered + allocated + free is the total, whatever happens, and equal turns are equal', (t) => {
  const step = fc.record({ verb: fc.constantFrom('allocate', 'decline', 'decline', 'revive', 'suppress'), pick: fc.nat(50), refuse: fc.constantFrom(0, 1_000, 5_000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const allocator = new Allocator();
      const total = new Map([1, 2, 3].map((at) => [`a${at}`, resourcesOf(`cpus:${at};mem:${at * 100};ports:[1-${at}]`)]));
      for (const [agent, resources] of total) allocator.addAgent(agent, resources);
      for (const at of [1, 2, 3]) allocator.setFramework(`f${at}`, [`r${at % 2}`], []);
      const open: Allocation[] = [];
      steps.forEach(({ verb, pick, refuse }, at) => {
        const nowMs = at * 500;
        if (verb === 'allocate') open.push(...allocator.allocate(undefined, nowMs));
        if (verb === 'revive') allocator.revive(`f${1 + (pick % 3)}`, []);
        if (verb === 'suppress') allocator.suppress(`f${1 + (pick % 3)}`, []);
        const [back] = verb === 'decline' ? open.splice(pick % Math.max(1, open.length), 1) : [];
        if (back !== undefined) allocator.recover(back, refuse, nowMs);
        for (const [agent, resources] of total) {
          const held = open.filter((allocation) => allocation.agent === agent).reduce<Resources>((sum, allocation) => add(sum, allocation.resources), []);
          if (!contains(resources, held) || !equals(add(subtract(resources, held), held), resources)) throw new Error(`over-allocated ${agent}`);
        }
      });
    }),
  );
  const allocator = new Allocator();
  allocator.addAgent('a', resourcesOf('cpus:2;mem:1024'));
  for (const framework of ['f1', 'f2']) allocator.setFramework(framework, ['*'], []);
  const turns = Array.from({ length: 10 }, (_, at) => {
    const [offer] = allocator.allocate(undefined, at * 1_000);
    if (offer !== undefined) allocator.recover(offer, 0, at * 1_000);
    return offer?.framework;
  });
  t.is(turns.filter((framework) => framework === 'f1').length, 5);
});

test('why a task waits is said for every agent, and never is never', (t) => {
  const agent = { state: 'active', hostname: 'h', attributes: [], total: resourcesOf('cpus:4;mem:512'), free: resourcesOf('cpus:1;mem:512') };
  const said = explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:2'), 0, []);
  t.is(said.verdict, 'later');
  t.deepEqual(said.agents[0]?.missing, ['cpus:2: 1 of 4 free']);
  t.is(explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:8'), 0, []).verdict, 'never');
  t.is(explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:1'), 1, []).verdict, 'never');
  t.is(explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:1'), 0, []).verdict, 'now');
  t.is(explain([], resourcesOf('cpus:8'), 0, []).verdict, 'later', 'an agent may still join');
});
