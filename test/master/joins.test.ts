import { createHash } from 'node:crypto';
import test from 'ava';
import { apply } from '../../master/registry/apply.ts';
import type { Command } from '../../master/registry/commands.ts';
import type { RegistryEvent } from '../../master/registry/events.ts';
import { emptyRegistry, type Registry } from '../../master/registry/registry.ts';
import { registryOf, snapshotSlices } from '../../master/registry/snapshot.ts';
import { OPERATIONS } from '../../protocol/operator.ts';
import { greeting, MasterWorld, ScriptedAgent, ScriptedClient } from './world.ts';

const HOUR = 3_600_000;

/** A registry with the join token `roof`, for two boards and one hour. */
class Roof {
  registry: Registry = emptyRegistry();
  #index = 0;

  constructor() {
    this.apply({
      ...{ kind: 'CREATE_TOKEN', token: 'jt', name: 'roof', role: 'join', hash: 'h', request: 'r0', nowMs: 0 },
      joins: { limit: 2, untilMs: HOUR },
    });
  }

  apply(command: Command): RegistryEvent | undefined {
    this.#index++;
    return apply(this.registry, { index: this.#index, term: 1 }, command)[0];
  }

  /** One request of a board; each with an id and a secret of its own unless told. */
  join(machine: string, over: Partial<Extract<Command, { kind: 'JOIN_AGENT' }>> = {}): RegistryEvent | undefined {
    const at = this.#index;
    return this.apply({
      kind: 'JOIN_AGENT',
      by: 'roof',
      name: 'pi',
      exact: false,
      identity: { machine, serial: '' },
      token: `t${at}`,
      hash: `hash-${at}`,
      request: `roof/r${at}`,
      nowMs: 1_000,
      ...over,
    });
  }

  register(name: string, machine: string, agent = `id-${name}`): RegistryEvent | undefined {
    return this.apply({
      ...{ kind: 'REGISTER_AGENT', agent, name, machine, serial: '', incarnation: 'i', counter: 1, hostname: name },
      ...{ boot: 'b', resources: [], attributes: [], metered: false, tasks: [], nowMs: 2_000 },
    });
  }

  /** `name=machine` of every credential that a join gave. */
  bound(): string[] {
    return [...this.registry.tokens.values()].flatMap(({ name, bound }) =>
      bound === undefined ? [] : [`${name}=${bound.machine}`],
    );
  }

  used(): number | undefined {
    return this.registry.tokens.get('jt')?.joins?.used;
  }
}

/** Counts how often all of it is read. */
class WalkedMap<Key, Value> extends Map<Key, Value> {
  walks = 0;

  override values(): ReturnType<Map<Key, Value>['values']> {
    this.walks++;
    return super.values();
  }
}

test('boards of one name each get a name of their own, and the uses are counted', (t) => {
  const roof = new Roof();
  t.like(roof.join('m1'), { kind: 'AGENT_JOINED', name: 'pi', revoked: [] });
  t.like(roof.join('m2'), { kind: 'AGENT_JOINED', name: 'pi-2' });
  t.deepEqual(roof.bound(), ['pi=m1', 'pi-2=m2']);
  t.like(roof.join('m3'), { kind: 'REQUEST_REFUSED', fault: { code: 'NOT_ALLOWED' } });
  t.is(roof.used(), 2);
  t.deepEqual(registryOf(snapshotSlices(roof.registry)), roof.registry, 'a snapshot keeps who is bound to what');
});

test('the same hardware that joins again keeps its name, has one secret, and is not counted twice', (t) => {
  const roof = new Roof();
  roof.join('m1');
  roof.join('m2');
  t.like(roof.join('m1', { name: 'whatever' }), { kind: 'AGENT_JOINED', name: 'pi', revoked: ['pi'] });
  t.like(roof.join('m1', { name: 'attic', exact: true }), { kind: 'AGENT_JOINED', name: 'attic', revoked: ['pi'] });
  t.deepEqual(roof.bound(), ['pi-2=m2', 'attic=m1']);
  t.is(roof.used(), 2);
});

test('a board whose answer was lost asks again with the same secret, and nothing changes', (t) => {
  const roof = new Roof();
  roof.join('m1', { hash: 'mine', request: 'roof/a' });
  t.is(roof.join('m1', { hash: 'mine', request: 'roof/a' }), undefined, 'a request is done once');
  t.like(roof.join('m1', { hash: 'mine', request: 'roof/b', nowMs: HOUR }), {
    ...{ kind: 'AGENT_JOINED', name: 'pi', revoked: [] },
  });
  t.deepEqual(roof.bound(), ['pi=m1']);
});

test('no board takes the name of another, of a token, of an agent or of a built-in framework', (t) => {
  const roof = new Roof();
  roof.join('m1');
  roof.register('cellar', 'm8');
  roof.apply({ kind: 'CREATE_TOKEN', token: 'x', name: 'ann', role: 'user', hash: 'h', request: 'r9', nowMs: 0 });
  for (const name of ['pi', 'cellar', 'ann', 'roof', 'batch'])
    t.like(roof.join('m2', { name, exact: true }), { kind: 'REQUEST_REFUSED', fault: { code: 'NAME_TAKEN' } }, name);
  t.like(roof.join('m2', { name: 'ann' }), { kind: 'AGENT_JOINED', name: 'ann-2' });
  t.like(roof.join('m8', { name: 'cellar', exact: true }), { kind: 'REQUEST_REFUSED' }, 'two have joined already');
});

test('an agent that is there keeps its name when its hardware joins; one that is gone leaves it to the next board', (t) => {
  const roof = new Roof();
  roof.register('cellar', 'm8');
  t.like(roof.join('m8', { name: 'cellar', exact: true }), { kind: 'AGENT_JOINED', name: 'cellar' });
  t.like(roof.join('m9', { name: 'cellar', exact: true }), { kind: 'REQUEST_REFUSED', fault: { code: 'NAME_TAKEN' } });
  roof.apply({ kind: 'AGENT_GONE', agent: 'cellar', request: 'gone', nowMs: 3_000 });
  t.like(roof.join('m9', { name: 'cellar', exact: true }), {
    ...{ kind: 'AGENT_JOINED', name: 'cellar', revoked: ['cellar'] },
  });
  t.deepEqual(roof.bound(), ['cellar=m9']);
});

test('a credential is of no use on other hardware, unless an operator made another one for the name', (t) => {
  const roof = new Roof();
  roof.join('m1');
  t.like(roof.register('pi', 'm2'), { kind: 'AGENT_REFUSED', fault: { code: 'CLONED' } });
  t.like(roof.register('pi', 'm1'), { kind: 'AGENT_REGISTERED' });
  roof.join('m3', { name: 'attic' });
  roof.apply({ kind: 'CREATE_TOKEN', token: 'x', name: 'attic', role: 'agent', hash: 'h', request: 'r9', nowMs: 0 });
  t.like(roof.register('attic', 'm4'), { kind: 'AGENT_REGISTERED' });
});

test('what a join reads does not grow with the boards of one hostname', (t) => {
  const walksWith = (boards: number): number => {
    const roof = new Roof();
    const tokens = new WalkedMap(roof.registry.tokens);
    const agents = new WalkedMap(roof.registry.agents);
    const pass = tokens.get('jt');
    if (pass !== undefined) tokens.set('jt', { ...pass, joins: { used: 0, limit: undefined, untilMs: undefined } });
    roof.registry = { ...roof.registry, tokens, agents };
    for (let board = 1; board < boards; board++) roof.join(`m${board}`);
    const before = tokens.walks + agents.walks;
    t.like(roof.join('last'), { kind: 'AGENT_JOINED', name: `pi-${boards}` });
    return tokens.walks + agents.walks - before;
  };
  t.is(walksWith(200), walksWith(20));
});

test('of the names of one stem the first that is free is given, whoever holds the others', (t) => {
  const roof = new Roof();
  roof.join('m1');
  roof.register('pi-2', 'm2');
  roof.apply({ kind: 'CREATE_TOKEN', token: 'x', name: 'pi-3', role: 'user', hash: 'h', request: 'r9', nowMs: 0 });
  roof.register('pi-5', 'm5');
  t.like(roof.join('m4'), { kind: 'AGENT_JOINED', name: 'pi-4' });
  roof.registry.tokens.delete('jt');
  roof.apply({
    ...{ kind: 'CREATE_TOKEN', token: 'jt', name: 'roof', role: 'join', hash: 'h', request: 'r10', nowMs: 0 },
    joins: { limit: undefined, untilMs: undefined },
  });
  t.like(roof.join('m6'), { kind: 'AGENT_JOINED', name: 'pi-6' });
  t.like(roof.join('m5'), { kind: 'AGENT_JOINED', name: 'pi-5' }, 'its own agent is there already');
  roof.register('pi-6', 'm6');
  roof.apply({ kind: 'AGENT_GONE', agent: 'pi-6', request: 'gone', nowMs: 3_000 });
  t.like(roof.join('m7'), { kind: 'AGENT_JOINED', name: 'pi-6' }, 'declared gone: its name is free again');
});

test('an expired or revoked join token lets nobody in, and a second one of its name is refused', (t) => {
  const roof = new Roof();
  const again = { kind: 'CREATE_TOKEN', token: 'jt2', name: 'roof', role: 'join', hash: 'h', nowMs: 0 } as const;
  t.like(roof.apply({ ...again, request: 'r1' }), { kind: 'REQUEST_REFUSED', fault: { code: 'EXISTS' } });
  t.like(roof.join('m1', { nowMs: HOUR - 1 }), { kind: 'AGENT_JOINED' });
  t.like(roof.join('m2', { nowMs: HOUR }), { kind: 'REQUEST_REFUSED', fault: { code: 'NOT_ALLOWED' } });
  roof.apply({ kind: 'REVOKE_TOKEN', token: 'roof', request: 'r2' });
  t.like(roof.join('m2'), { kind: 'REQUEST_REFUSED', fault: { code: 'NOT_ALLOWED' } });
  t.deepEqual(roof.bound(), ['pi=m1'], 'who has joined stays');
});

test('a join token asks to join and nothing else, and nobody else may join', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const operator = new ScriptedClient(world, 'ann');
  const made = await operator.ask('r1', 'token-create', { role: 'join', name: 'roof', uses: 1 });
  const { token = '' } = (made?.body ?? {}) as { token?: string };
  const [, secret = ''] = token.split(':');
  t.regex(secret, /^join-[a-z2-7]{32}$/);
  t.is(world.master?.roleOf('roof', secret), 'join');
  const roof = new ScriptedClient(world, 'roof');
  for (const op of Object.keys(OPERATIONS))
    if (op !== 'join') t.like(await roof.ask(`x-${op}`, op, {}), { fault: { code: 'NOT_ALLOWED' } }, op);
  await roof.raw(
    new TextEncoder().encode(
      JSON.stringify({ v: 1, type: 'REQUEST', request: 'x-batch', framework: 'fw', op: 'submit', body: {} }),
    ),
  );
  t.like(
    roof.replies.find(({ request }) => request === 'x-batch'),
    { fault: { code: 'NOT_ALLOWED' } },
  );

  const mine = 'of-the-board';
  const body = {
    name: 'pi',
    identity: { machine: 'm1', serial: '' },
    hash: createHash('sha256').update(mine).digest('hex'),
  };
  t.like(await operator.ask('j0', 'join', body), { fault: { code: 'NOT_ALLOWED' } }, 'an operator makes tokens');
  t.like(await roof.ask('j1', 'join', { ...body, identity: { machine: '', serial: '' } }), {
    fault: { code: 'BAD_SHAPE' },
  });
  t.like(await roof.ask('j2', 'join', { ...body, hash: mine }), { fault: { code: 'BAD_SHAPE' } });
  t.deepEqual((await roof.ask('j3', 'join', body))?.body, { agent: 'pi' });
  t.deepEqual((await roof.ask('j3', 'join', body))?.body, { agent: 'pi' }, 'a request may be repeated');
  t.is(world.master?.roleOf('pi', mine), 'agent');
  t.is(world.master?.roleOf('roof', mine), undefined);
  const listed = (await operator.ask('r2', 'token-list'))?.body as { tokens: { name: string; joins?: object }[] };
  t.deepEqual(listed.tokens.find(({ name }) => name === 'roof')?.joins, { used: 1, limit: 1, until: null });
  t.false(JSON.stringify([operator.replies, roof.replies]).includes(mine), 'the secret never travels');
});

test('a second data folder on a machine cuts off no agent that is connected', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const operator = new ScriptedClient(world, 'ann');
  await operator.ask('r1', 'token-create', { role: 'join', name: 'roof' });
  const roof = new ScriptedClient(world, 'roof');
  const identity = { machine: 'm1', serial: '' };
  const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');
  const body = { name: 'pi', identity, hash: hashOf('first') };
  t.deepEqual((await roof.ask('j1', 'join', body))?.body, { agent: 'pi' });
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi', { identity }));
  t.truthy(agent.last('REGISTERED'));

  const second = { ...body, hash: hashOf('second') };
  for (const over of [{}, { name: 'attic', exact: true }])
    t.like(await roof.ask(`j2-${over.name}`, 'join', { ...second, ...over }), { fault: { code: 'NAME_TAKEN' } });
  t.is(world.master?.roleOf('pi', 'first'), 'agent', 'it keeps its credential');
  t.deepEqual((await roof.ask('j3', 'join', body))?.body, { agent: 'pi' }, 'its own answer was lost');
  t.deepEqual((await roof.ask('j4', 'join', { ...second, identity: { machine: 'm2', serial: '' } }))?.body, {
    agent: 'pi-2',
  });

  agent.bus.kill();
  await world.clock.advance(600_000);
  t.deepEqual((await roof.ask('j5', 'join', { ...second, hash: hashOf('third') }))?.body, { agent: 'pi' });
  t.is(world.master?.roleOf('pi', 'first'), undefined);
});
