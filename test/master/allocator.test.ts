import test from 'ava';
import fc from 'fast-check';
import { type Allocation, Allocator, type FrameworkTerms } from '../../master/allocator/allocator.ts';
import { explain } from '../../master/allocator/explain.ts';
import { type Attributes, parseAttributes } from '../../protocol/attributes.ts';
import { type Constraint, parseConstraint } from '../../protocol/constraints.ts';
import { Fault } from '../../protocol/faults.ts';
import { add, asRole, contains, equals, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import { resourcesOf } from '../resources-of.ts';

function short(allocations: Allocation[]): string[] {
  return allocations.map(
    ({ framework, role, agent, resources }) => `${framework}@${role} ${agent} ${formatResources(resources)}`,
  );
}

function facts(agent: string, total: string, attributes = '') {
  const parsed = parseAttributes(attributes);
  return {
    name: agent,
    hostname: agent,
    attributes: parsed instanceof Fault ? ([] as Attributes) : parsed,
    total: resourcesOf(total),
  };
}

function constraintsOf(...groups: string[][]): Constraint[][] {
  return groups.map((group) =>
    group.map((text) => {
      const constraint = parseConstraint(text);
      if (constraint instanceof Fault) throw new Error(constraint.message);
      return constraint;
    }),
  );
}

/** An allocator with these agents and frameworks of one role each. */
function world(agents: Record<string, string>, frameworks: Record<string, string | FrameworkTerms>): Allocator {
  const allocator = new Allocator();
  for (const [agent, total] of Object.entries(agents)) allocator.addAgent(agent, facts(agent, total));
  for (const [framework, terms] of Object.entries(frameworks))
    allocator.setFramework(framework, typeof terms === 'string' ? { roles: [terms] } : terms);
  return allocator;
}

const WHOLE = new Map<string, number>();

test('the role furthest below its share gets the whole agent, and within it the framework', (t) => {
  const allocator = world({ a1: 'cpus:2;mem:1024' }, { f1: 'r1' });
  t.deepEqual(short(allocator.allocate(['a1'], 0)), ['f1@r1 a1 cpus:2;mem:1024']);
  allocator.setFramework('f2', { roles: ['r2'] });
  allocator.addAgent('a2', facts('a2', 'cpus:1;mem:512'));
  t.deepEqual(short(allocator.allocate(['a2'], 0)), ['f2@r2 a2 cpus:1;mem:512']);
  allocator.setFramework('f3', { roles: ['r1'] });
  allocator.addAgent('a3', facts('a3', 'cpus:3;mem:2048'));
  t.deepEqual(short(allocator.allocate(['a3'], 0)), ['f2@r2 a3 cpus:3;mem:2048']);
  allocator.addAgent('a4', facts('a4', 'cpus:4;mem:4096'));
  t.deepEqual(short(allocator.allocate(['a4'], 0)), ['f3@r1 a4 cpus:4;mem:4096']);
});

test('a refusal hides a subset for its time and one batch, not more; a bigger offer is not hidden', (t) => {
  const allocator = world({ a: 'cpus:2;mem:512' }, { f: 'r' });
  const task = { framework: 'f', role: 'r', agent: 'a', resources: resourcesOf('cpus:1') };
  allocator.occupy(task);
  const [offer] = allocator.allocate('batch', 0);
  if (offer === undefined) return t.fail();
  allocator.decline(offer, 2_000, 0);
  t.is(allocator.dueMs(0), 0, 'others may want it');
  t.deepEqual(allocator.allocate('batch', 1_000), []);
  t.is(allocator.dueMs(1_000), 2_000, 'and nothing is to be done before it ends');
  t.is(allocator.allocate('batch', 2_000).length, 1);
  allocator.decline(offer, 1_000, 2_000);
  t.deepEqual(allocator.allocate('batch', 60_000), [], 'never less than one batch');
  t.is(allocator.allocate('batch', 120_000).length, 1);
  allocator.decline(offer, 600_000, 120_000);
  allocator.recover(task);
  t.deepEqual(short(allocator.allocate(['a'], 120_000)), ['f@r a cpus:2;mem:512']);
  t.is(allocator.dueMs(120_000), 720_000);
  return undefined;
});

test('suppressed and inactive frameworks get nothing; a revive clears filters', (t) => {
  const allocator = world({ a: 'cpus:1;mem:512' }, { f: { roles: ['r'], suppressed: ['r'] } });
  t.deepEqual(allocator.allocate('batch', 0), []);
  allocator.revive('f', []);
  const [offer] = allocator.allocate('all', 0);
  if (offer === undefined) return t.fail();
  allocator.decline(offer, 3_600_000, 0);
  allocator.setActive('f', false);
  allocator.revive('f', ['r']);
  t.deepEqual(allocator.allocate('all', 0), []);
  allocator.setActive('f', true);
  t.is(allocator.allocate('all', 0).length, 1);
  return undefined;
});

test('what is not worth an offer is not offered, unless the framework says that it is', (t) => {
  const agents = { small: 'cpus:0.005;mem:16;disk:128', mem: 'cpus:0.005;mem:32;disk:128' };
  t.deepEqual(short(world(agents, { f: 'r' }).allocate('all', 0)), ['f@r mem cpus:0.005;mem:32;disk:128']);
  const any: FrameworkTerms = { roles: ['r'], minimum: new Map([['r', []]]) };
  t.is(world(agents, { f: any }).allocate('all', 0).length, 2);
  const much: FrameworkTerms = { roles: ['r'], minimum: new Map([['r', [[{ name: 'mem', amount: 64_000 }]]]]) };
  t.is(world(agents, { f: much }).allocate('all', 0).length, 0);
});

test('an agent that is not offerable keeps what it has; a smaller total offers nothing until it is recovered', (t) => {
  const allocator = world({ a: 'cpus:100;mem:100' }, { f: 'r' });
  const [offer] = allocator.allocate('all', 0);
  t.true(allocator.updateAgent('a', facts('a', 'cpus:50;mem:50')));
  t.false(allocator.updateAgent('a', facts('a', 'cpus:50;mem:50')));
  t.deepEqual(allocator.allocate(['a'], 0), []);
  if (offer === undefined) return t.fail();
  allocator.recover(offer);
  allocator.setOfferable('a', false);
  t.deepEqual(allocator.allocate('all', 0), []);
  allocator.setOfferable('a', true);
  t.deepEqual(short(allocator.allocate('all', 0)), ['f@r a cpus:50;mem:50']);
  return undefined;
});

test('GPUs and what may be reclaimed go only to those who want them; the rest of such an agent goes to anybody', (t) => {
  const agents = { a: 'cpus:4;mem:1024;gpus:1;cpus{REV}:2' };
  t.deepEqual(short(world(agents, { f: 'r' }).allocate('all', 0)), ['f@r a cpus:4;mem:1024']);
  const all: FrameworkTerms = { roles: ['r'], gpus: true, revocable: true };
  t.deepEqual(short(world(agents, { f: all }).allocate('all', 0)), ['f@r a cpus:4;mem:1024;gpus:1;cpus{REV}:2']);
});

test('an offer need not hold a whole agent: what is over goes to others at the same moment', (t) => {
  const mostPerOffer = [
    { name: 'cpus', amount: 1_000 },
    { name: 'mem', amount: 256_000 },
  ];
  const small: FrameworkTerms = { roles: ['r'], mostPerOffer };
  const allocator = world({ a: 'cpus:4;mem:1024' }, { f1: small, f2: small, f3: 'z' });
  t.deepEqual(short(allocator.allocate('all', 0)), ['f1@r a cpus:1;mem:256', 'f3@z a cpus:3;mem:768']);
  allocator.removeFramework('f3');
  allocator.removeAgent('a');
  allocator.addAgent('b', facts('b', 'cpus:4;mem:1024'));
  t.deepEqual(short(allocator.allocate('all', 0)), ['f2@r b cpus:1;mem:256', 'f1@r b cpus:1;mem:256']);
});

test('constraints: on attributes, on the host, and on where the framework has something already', (t) => {
  const agents = { a1: 'rack:x;board:pi', a2: 'rack:x;board:jetson', b1: 'rack:y;board:pi', b2: 'rack:y;board:pi' };
  const offered = (...groups: string[][]): string[] => {
    const allocator = new Allocator();
    for (const [agent, attributes] of Object.entries(agents))
      allocator.addAgent(agent, facts(agent, 'cpus:1;mem:512', attributes));
    allocator.setFramework('f', { roles: ['r'], constraints: new Map([['r', constraintsOf(...groups)]]) });
    return allocator.allocate('all', 0).map(({ agent }) => agent);
  };
  t.deepEqual(offered(['board==pi']), ['a1', 'b1', 'b2']);
  t.deepEqual(offered(['board==jetson'], ['hostname~=b.*', 'rack==y']), ['a2', 'b1', 'b2']);
  t.deepEqual(offered(['unlike:hostname:a.*']), ['b1', 'b2']);
  t.deepEqual(offered(['unique:rack']), ['a1', 'b1']);
  t.deepEqual(offered(['max-per:rack:1', 'board==pi']), ['a1', 'b1']);
  t.deepEqual(offered(['cluster:rack']), ['a1', 'a2']);
  t.deepEqual(offered(['group-by:rack']).length, 4);
});

test('a constraint that looked around is looked at again when something else is given back', (t) => {
  const allocator = new Allocator();
  for (const agent of ['a', 'b']) allocator.addAgent(agent, facts(agent, 'cpus:1;mem:512', 'rack:x'));
  allocator.setFramework('f', { roles: ['r'], constraints: new Map([['r', constraintsOf(['unique:rack'])]]) });
  const [offer, ...more] = allocator.allocate('all', 0);
  if (offer === undefined) return t.fail();
  t.is(more.length, 0);
  allocator.decline(offer, 3_600_000, 0);
  t.deepEqual(
    allocator.allocate('batch', 1_000).map(({ agent }) => agent),
    ['b'],
  );
  return undefined;
});

test('one that declines everything without a filter starves nobody, however small its share', (t) => {
  const allocator = world({ a: 'cpus:2;mem:1024', b: 'cpus:2;mem:1024' }, { greedy: 'r1', patient: 'r2' });
  allocator.occupy({ framework: 'patient', role: 'r2', agent: 'b', resources: resourcesOf('cpus:2;mem:1024') });
  const turns: string[] = [];
  for (let at = 0; at < 40; at++) {
    for (const offer of allocator.allocate('batch', at * 1_000)) {
      turns.push(offer.framework);
      if (offer.framework === 'greedy') allocator.decline(offer, 0, at * 1_000);
    }
  }
  t.true(turns.indexOf('patient') >= 0 && turns.indexOf('patient') <= 10, turns.join());
});

test('of a framework that is removed no agent remembers whose turn it was', (t) => {
  const allocator = world({ a: 'cpus:2;mem:1024' }, { f: 'r1' });
  const decline = (): number => {
    const offers = allocator.allocate('all', 0);
    for (const offer of offers) allocator.decline(offer, 0, 0);
    return offers.length;
  };
  for (let at = 0; at < 20; at++) t.is(decline(), 1);
  allocator.removeFramework('f');
  allocator.setFramework('f', { roles: ['r1'] });
  allocator.setFramework('g', { roles: ['r0'] });
  const order: string[] = [];
  for (let at = 0; at < 4; at++)
    for (const offer of allocator.allocate('all', 0)) {
      order.push(offer.framework);
      allocator.decline(offer, 0, 0);
    }
  t.true(order.includes('f'), order.join());
});

test('a guarantee is held back, a limit is kept, and a role below shares in both', (t) => {
  const allocator = world({ a1: 'cpus:2;mem:1024', a2: 'cpus:2;mem:1024' }, { f: 'other' });
  const quota = new Map([
    ['cpus', 2_000],
    ['mem', 1_024_000],
  ]);
  allocator.setQuota('dept', { guarantees: quota, limits: quota });
  t.is(allocator.allocate('all', 0).length, 1, 'one agent stays free for it');
  allocator.setFramework('team', { roles: ['dept/team'] });
  t.deepEqual(short(allocator.allocate('all', 0)), ['team@dept/team a2 cpus:2;mem:1024']);
  allocator.addAgent('a3', facts('a3', 'cpus:2;mem:1024'));
  allocator.suppress('f', []);
  t.deepEqual(allocator.allocate('all', 0), [], 'it has what it may have');
  t.deepEqual([...allocator.usedOfQuota('dept')], [...quota]);
  allocator.setQuota('dept', undefined);
  t.is(allocator.allocate('batch', 0).length, 1);
});

test('what is reserved is for its role and those below, and an operation may reserve what a framework holds', (t) => {
  const allocator = world({ a: 'cpus:2;mem:1024;cpus(x):1' }, { f: 'y', g: 'x/z' });
  const offers = allocator.allocate('all', 0);
  const own = offers.find(({ framework }) => framework === 'g');
  t.true(own !== undefined && contains(own.resources, resourcesOf('cpus(x):1')));
  const [first] = offers;
  if (first === undefined) return t.fail();
  const reserved = asRole(resourcesOf('cpus:1'), first.role);
  allocator.convert({ ...first, resources: resourcesOf('cpus:1') }, reserved);
  allocator.recover({
    ...first,
    resources: add(subtract(first.resources, resourcesOf('cpus:1')), reserved),
  });
  allocator.removeFramework(first.framework);
  const left = allocator.allocate('all', 0);
  t.false(
    left.some(({ resources }) => contains(resources, reserved)),
    'nobody else may have it',
  );
  return undefined;
});

interface Happening {
  readonly verb: string;
  readonly pick: number;
  readonly refuse: number;
}

const happenings: fc.Arbitrary<Happening[]> = fc.array(
  fc.record({
    verb: fc.constantFrom(
      ...['batch', 'batch', 'all', 'decline', 'decline', 'recover', 'take', 'revive', 'suppress', 'agent', 'shrink'],
      ...['gone', 'framework', 'teardown', 'active', 'quota', 'weight', 'reserve', 'offerable'],
    ),
    pick: fc.nat(1_000),
    refuse: fc.constantFrom(0, 1_000, 5_000),
  }),
  { maxLength: 120, size: 'max' },
);

test('after any sequence of events: offered + held + free is the total of every agent, never more', (t) => {
  fc.assert(
    fc.property(happenings, (list) => {
      const allocator = new Allocator();
      const totals = new Map<string, Resources>();
      let open: Allocation[] = [];
      const roles = ['a', 'b', 'b/c', '*'];
      for (const [at, { verb, pick, refuse }] of list.entries()) {
        const nowMs = at * 700;
        const agent = `n${pick % 4}`;
        const framework = `f${pick % 3}`;
        const role = roles[pick % roles.length] ?? '*';
        const [chosen] = open.slice(pick % Math.max(1, open.length));
        switch (verb) {
          case 'batch':
          case 'all':
            open.push(...allocator.allocate(verb, nowMs));
            break;
          case 'decline':
          case 'recover':
            if (chosen === undefined) break;
            open = open.filter((one) => one !== chosen);
            if (verb === 'decline') allocator.decline(chosen, refuse, nowMs);
            else allocator.recover(chosen);
            break;
          case 'take': {
            if (chosen === undefined) break;
            const part = chosen.resources.slice(0, 1);
            open = open.filter((one) => one !== chosen);
            open.push({ ...chosen, resources: part });
            allocator.decline({ ...chosen, resources: subtract(chosen.resources, part) }, refuse, nowMs);
            break;
          }
          case 'agent':
          case 'gone':
            open = open.filter((one) => one.agent !== agent);
            totals.delete(agent);
            if (verb === 'gone') {
              allocator.removeAgent(agent);
              break;
            }
            totals.set(
              agent,
              resourcesOf(`cpus:${1 + (pick % 5)};mem:${64 * (1 + (pick % 9))};ports:[1-${1 + (pick % 7)}];cpus(b):1`),
            );
            allocator.addAgent(agent, { ...facts(agent, ''), total: totals.get(agent) ?? [] });
            break;
          case 'shrink': {
            const total = totals.get(agent);
            const busy = open.some((one) => one.agent === agent);
            if (total === undefined || busy) break;
            totals.set(agent, total.slice(0, 2));
            allocator.updateAgent(agent, { ...facts(agent, ''), total: total.slice(0, 2) });
            break;
          }
          case 'reserve': {
            if (chosen === undefined) break;
            const from = chosen.resources.filter((one) => one.role === undefined && one.scalar !== undefined);
            const to = asRole(from, chosen.role === '*' ? 'a' : chosen.role);
            const total = totals.get(chosen.agent) ?? [];
            totals.set(chosen.agent, add(subtract(total, from), to));
            allocator.convert({ ...chosen, resources: from }, to);
            open = open.map((one) =>
              one === chosen ? { ...one, resources: add(subtract(one.resources, from), to) } : one,
            );
            break;
          }
          case 'framework':
            allocator.setFramework(framework, { roles: [role], gpus: pick % 2 === 0 });
            break;
          case 'teardown':
            allocator.removeFramework(framework);
            break;
          case 'active':
            allocator.setActive(framework, pick % 2 === 0);
            break;
          case 'revive':
            allocator.revive(framework, []);
            break;
          case 'suppress':
            allocator.suppress(framework, []);
            break;
          case 'weight':
            allocator.setWeight(role, 1 + (pick % 3));
            break;
          case 'quota': {
            const amounts = new Map([['cpus', (pick % 4) * 1_000]]);
            allocator.setQuota(
              'b',
              pick % 3 === 0 ? undefined : { guarantees: amounts, limits: pick % 2 === 0 ? amounts : WHOLE },
            );
            break;
          }
          default:
            allocator.setOfferable(agent, pick % 2 === 0);
        }
        for (const [name, total] of totals) {
          const held = open
            .filter((one) => one.agent === name)
            .reduce<Resources>((sum, one) => add(sum, one.resources), []);
          if (!contains(total, held)) throw new Error(`${verb}: ${name} is over-allocated: ${formatResources(held)}`);
          const free = allocator.free(name);
          if (free.length > 0 && !equals(add(held, free), total))
            throw new Error(`${verb}: ${name} has ${formatResources(free)} free beside ${formatResources(held)}`);
        }
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('equal claims come to equal shares, whatever the order of agents', (t) => {
  fc.assert(
    fc.property(fc.shuffledSubarray([...Array(12).keys()], { minLength: 12 }), (order) => {
      const allocator = world({}, { f1: 'r1', f2: 'r2', f3: 'r3' });
      allocator.setWeight('r3', 2);
      for (const at of order) allocator.addAgent(`a${at}`, facts(`a${at}`, 'cpus:1;mem:512'));
      allocator.allocate(
        order.map((at) => `a${at}`),
        0,
      );
      return allocator.share('r1') === 0.25 && allocator.share('r2') === 0.25 && allocator.share('r3') === 0.5;
    }),
  );
  t.pass();
});

test('why a task waits is said for every agent, and never is never', (t) => {
  const agent = {
    state: 'active',
    hostname: 'h',
    attributes: [],
    total: resourcesOf('cpus:4;mem:512'),
    free: resourcesOf('cpus:1;mem:512'),
  };
  const said = explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:2'), 0, []);
  t.is(said.verdict, 'later');
  t.deepEqual(said.agents[0]?.missing, ['cpus:2: 1 of 4 free']);
  t.is(explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:8'), 0, []).verdict, 'never');
  t.is(explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:1'), 1, []).verdict, 'never');
  t.is(explain([{ ...agent, agent: 'a' }], resourcesOf('cpus:1'), 0, []).verdict, 'now');
  t.is(explain([], resourcesOf('cpus:8'), 0, []).verdict, 'later', 'an agent may still join');
});
