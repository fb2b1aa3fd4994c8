import test from 'ava';
import fc from 'fast-check';
import { apply } from '../../master/registry/apply.ts';
import { type Command, CommandReader, encodeCommand, type RegisterAgent } from '../../master/registry/commands.ts';
import type { RegistryEvent } from '../../master/registry/events.ts';
import { emptyRegistry, type Registry, tasksOfAgent } from '../../master/registry/registry.ts';
import { registryOf, snapshotSlices } from '../../master/registry/snapshot.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { contains } from '../../protocol/resource-arithmetic.ts';
import { isTerminal, type TaskStatus } from '../../protocol/task.ts';
import { resourcesOf } from '../resources-of.ts';

/** A registry and its log: every command goes through the encoding that the log has. */
class Replica {
  registry: Registry = emptyRegistry();
  index = 0;
  readonly reader = new CommandReader();

  apply(command: Command): RegistryEvent[] {
    const entries = encodeCommand(command);
    if (entries instanceof Fault) throw entries;
    const events: RegistryEvent[] = [];
    for (const entry of entries) {
      this.index++;
      const read = this.reader.read(entry);
      if (read !== undefined) events.push(...apply(this.registry, { index: this.index, term: 1 }, read));
    }
    return events;
  }

  kinds(command: Command): string[] {
    return this.apply(command).map(({ kind }) => kind);
  }
}

function registration(over: Partial<RegisterAgent> = {}): RegisterAgent {
  return {
    kind: 'REGISTER_AGENT',
    agent: 'id-1',
    name: 'pi',
    machine: 'm1',
    serial: 's1',
    incarnation: 'i1',
    counter: 1,
    hostname: 'pi',
    boot: 'b1',
    resources: resourcesOf('cpus:4;mem:1024'),
    attributes: [],
    metered: false,
    tasks: [],
    nowMs: 1_000,
    ...over,
  };
}

function launch(epoch: number, tasks: string[], cpus = '1', attempt = 0): Command {
  return {
    kind: 'LAUNCH',
    framework: 'batch',
    role: 'ann',
    agent: 'id-1',
    epoch,
    nowMs: 2_000,
    tasks: tasks.map((task) => ({
      task,
      attempt,
      argv: ['true'],
      resources: resourcesOf(`cpus:${cpus};mem:32`),
      restart: 'never',
      killGraceMs: 3_000,
    })),
  };
}

function update(task: string, sequence: number, state: TaskStatus['state'], attempt = 0): Command {
  const status = { framework: 'batch', task, attempt, restart: 0, uuid: `${task}-${sequence}`, sequence, state };
  return { kind: 'UPDATE_TASKS', agent: 'id-1', epoch: 1, updates: [status], nowMs: 3_000 };
}

/** Of a cluster that has forgotten what came after its backup. */
function restored(): Replica {
  const one = new Replica();
  one.apply({ kind: 'CREATE_CLUSTER', uuid: 'c-1', generation: 2, nowMs: 0 });
  return one;
}

function replica(): Replica {
  const one = new Replica();
  one.apply(registration());
  one.apply({ kind: 'SUBSCRIBE_FRAMEWORK', framework: 'batch', roles: ['ann'], nowMs: 1_000 });
  return one;
}

test('a registration gives an epoch, once for a nonce', (t) => {
  const one = new Replica();
  const [first] = one.apply(registration());
  t.like(first, { kind: 'AGENT_REGISTERED', repeated: false, agent: { epoch: 1 } });
  const [again] = one.apply(registration());
  t.like(again, { kind: 'AGENT_REGISTERED', repeated: true, agent: { epoch: 1 } });
  const [next] = one.apply(registration({ counter: 2 }));
  t.like(next, { kind: 'AGENT_REGISTERED', repeated: false, agent: { epoch: 3 } });
  const [late] = one.apply(registration());
  t.like(late, { kind: 'AGENT_REFUSED', fault: { code: 'STALE' } });
});

test('clones, taken names and agents that are gone are refused in words', (t) => {
  const one = replica();
  t.like(one.apply(registration({ counter: 2, machine: 'other' }))[0], {
    kind: 'AGENT_REFUSED',
    fault: { code: 'CLONED' },
  });
  const [taken] = one.apply(registration({ agent: 'id-2', machine: 'm2' }));
  t.like(taken, { kind: 'AGENT_REFUSED', fault: { code: 'NAME_TAKEN' } });
  t.regex(taken?.kind === 'AGENT_REFUSED' ? taken.fault.hint : '', /pi-2 is free/);
  one.apply({ kind: 'AGENT_GONE', agent: 'pi', request: 'r', nowMs: 4_000 });
  t.like(one.apply(registration({ counter: 3 }))[0], { kind: 'AGENT_REFUSED', fault: { code: 'GONE' } });
  t.like(
    one.apply(registration({ agent: 'id-2', machine: 'm2' }))[0],
    { kind: 'AGENT_REGISTERED' },
    'the name is free again',
  );
});

test('a launch is checked against replicated facts', (t) => {
  const one = replica();
  t.deepEqual(one.kinds(launch(1, ['j.0', 'j.1'])), ['TASK_PLACED', 'TASK_PLACED']);
  t.like(one.apply(launch(1, ['j.0']))[0], { kind: 'TASK_REFUSED', fault: { code: 'EXISTS' } });
  t.like(one.apply(launch(9, ['j.2']))[0], { kind: 'TASK_REFUSED', fault: { code: 'OFFER_GONE' } });
  t.like(one.apply(launch(1, ['j.3'], '3'))[0], { kind: 'TASK_REFUSED', fault: { code: 'OVER_OFFER' } });
  t.deepEqual(one.kinds(launch(1, ['j.4'], '2')), ['TASK_PLACED'], 'the rest still fits');
});

test('updates apply in the order of their sequence, repeated ones are only acknowledged', (t) => {
  const one = replica();
  one.apply(launch(1, ['j.0']));
  t.deepEqual(one.kinds(update('j.0', 2, 'TASK_FINISHED')), [], 'a hole waits');
  t.deepEqual(one.kinds(update('j.0', 1, 'TASK_RUNNING')), ['TASK_UPDATED']);
  t.deepEqual(one.kinds(update('j.0', 1, 'TASK_RUNNING')), ['UPDATE_REPEATED']);
  t.like(one.apply(update('j.0', 2, 'TASK_FINISHED'))[0], { kind: 'TASK_UPDATED', freed: true });
  t.deepEqual(one.kinds(update('j.0', 3, 'TASK_FAILED')), ['UPDATE_REPEATED'], 'nothing follows an end');
  t.is(one.registry.tasks.get('batch/j.0/0')?.state, 'TASK_FINISHED');
});

test('what the framework has acknowledged moves to the history', (t) => {
  const one = replica();
  one.apply(launch(1, ['j.0']));
  one.apply(update('j.0', 1, 'TASK_RUNNING'));
  one.apply(update('j.0', 2, 'TASK_FINISHED'));
  const acknowledge = (uuid: string): string[] =>
    one.kinds({ kind: 'ACKNOWLEDGE', framework: 'batch', updates: [{ task: 'j.0', uuid }], nowMs: 5_000 });
  t.deepEqual(acknowledge('j.0-1'), []);
  t.deepEqual(acknowledge('j.0-2'), ['TASK_FORGOTTEN']);
  t.is(one.registry.tasks.size, 0);
  t.is(one.registry.finished.get('batch/j.0/0')?.state, 'TASK_FINISHED');
  t.like(
    one.apply(launch(1, ['j.0']))[0],
    { kind: 'TASK_REFUSED', fault: { code: 'EXISTS' } },
    'an attempt never runs twice',
  );
});

test('unreachable frees nothing; the next registration tells what still runs', (t) => {
  const one = replica();
  one.apply(launch(1, ['j.0', 'j.1', 'j.2']));
  one.apply(update('j.0', 1, 'TASK_RUNNING'));
  one.apply(update('j.1', 1, 'TASK_RUNNING'));
  one.apply({ kind: 'AGENT_UNREACHABLE', agent: 'id-1', epoch: 1, nowMs: 4_000 });
  t.true(tasksOfAgent(one.registry, 'id-1').every(({ state }) => state === 'TASK_UNREACHABLE'));
  const known = {
    framework: 'batch',
    task: 'j.0',
    attempt: 0,
    restart: 0,
    state: 'TASK_RUNNING',
    sequence: 1,
    resources: [],
  } as const;
  const orphan = { ...known, task: 'x.0' };
  const events = one.apply(registration({ counter: 2, tasks: [known, orphan] }));
  t.is(one.registry.tasks.get('batch/j.0/0')?.state, 'TASK_RUNNING');
  t.is(one.registry.tasks.get('batch/j.1/0')?.state, 'TASK_GONE');
  t.true(events.some((event) => event.kind === 'RUN_UNWANTED' && event.task === 'x.0'));
  t.false(one.registry.tasks.has('batch/x.0/0'));
});

test('only in a cluster that was restored may something run that nobody knows: an orphan', (t) => {
  const one = restored();
  const tasks = [
    { framework: 'batch', task: 'x.0', attempt: 0, restart: 0, state: 'TASK_RUNNING', sequence: 1, resources: [] },
  ] as const;
  const events = one.apply(registration({ tasks: [...tasks] }));
  t.true(events.some((event) => event.kind === 'TASK_ORPHANED' && event.task.info.task === 'x.0'));
  t.true(one.registry.tasks.get('batch/x.0/0')?.orphan);
});

test('a launch that never reached its agent is dropped by the next registration, not by a reconcile', (t) => {
  const one = replica();
  one.apply(launch(1, ['j.0']));
  one.apply({ kind: 'RECONCILE_AGENT', agent: 'id-1', epoch: 1, tasks: [], nowMs: 3_000 });
  t.is(one.registry.tasks.get('batch/j.0/0')?.state, 'TASK_STAGING');
  one.apply(registration({ counter: 2 }));
  t.is(one.registry.tasks.get('batch/j.0/0')?.state, 'TASK_DROPPED');
});

test('an agent that came back in time is not lost', (t) => {
  const one = replica();
  one.apply(launch(1, ['j.0']));
  one.apply(update('j.0', 1, 'TASK_RUNNING'));
  const lost: Command = {
    kind: 'END_TASKS',
    tasks: [{ framework: 'batch', task: 'j.0', attempt: 0 }],
    state: 'TASK_LOST',
    reason: 'LOST_AFTER',
    message: '',
    nowMs: 9_000,
  };
  t.deepEqual(one.kinds(lost), []);
  one.apply({ kind: 'AGENT_UNREACHABLE', agent: 'id-1', epoch: 1, nowMs: 4_000 });
  t.deepEqual(one.kinds(lost), ['TASK_UPDATED']);
});

test('the store compares before it sets, and a repeated request succeeds again', (t) => {
  const one = replica();
  const store = (value: string | null, version: number): RegistryEvent | undefined =>
    one.apply({ kind: 'STORE', framework: 'batch', key: 'k', value, version, request: 'r' })[0];
  t.like(store('a', 0), { kind: 'STORED', version: 1, fault: undefined });
  t.like(store('a', 0), { kind: 'STORED', version: 1, fault: undefined });
  t.like(store('b', 0), { kind: 'STORED', version: 1, fault: { code: 'CONFLICT' } });
  t.like(store('b', 1), { kind: 'STORED', version: 2, fault: undefined });
  t.like(store(null, 2), { kind: 'STORED', version: 0, fault: undefined });
  t.like(store(null, 2), { kind: 'STORED', version: 0, fault: undefined });
});

test('a framework fills its own part of the store, and not that of the jobs', (t) => {
  const one = replica();
  const value = 'x'.repeat(LIMITS.storeValueBytes - 4);
  const store = (framework: string, key: string, text: string | null = value, version = 0): RegistryEvent | undefined =>
    one.apply({ kind: 'STORE', framework, key, value: text, version, request: 'r' })[0];
  const fits = LIMITS.storeBytesPerFramework / LIMITS.storeValueBytes;
  const greedy = Array.from({ length: LIMITS.storeBytes / LIMITS.storeBytesPerFramework + 1 }, (_, at) => `f${at}`);
  for (const framework of greedy.slice(0, -1)) {
    for (let key = 0; key < fits; key++) t.like(store(framework, `k${100 + key}`), { fault: undefined });
    t.like(store(framework, 'more'), { fault: { code: 'LIMIT' } });
  }
  t.like(store(greedy.at(-1) ?? '', 'k100'), { fault: { code: 'LIMIT' } }, 'all of them together have a limit too');
  t.like(store('batch', 'job/j1/spec'), { fault: undefined });
  t.like(store('f0', 'k100', 'shorter', 1), { fault: undefined });
  t.like(store('f0', 'k101', null, 1), { fault: undefined });
  t.like(store(greedy.at(-1) ?? '', 'k100'), { fault: undefined }, 'what was given back is there for others');
  t.deepEqual(registryOf([...snapshotSlices(one.registry)]).storeUse, one.registry.storeUse);
  one.apply({ kind: 'SUBSCRIBE_FRAMEWORK', framework: 'f0', roles: ['*'], nowMs: 1 });
  one.apply({ kind: 'REMOVE_FRAMEWORK', framework: 'f0', nowMs: 2 });
  t.false(one.registry.storeUse.has('f0'));
});

test('there is a limit to frameworks, and what is known stays', (t) => {
  const one = new Replica();
  const subscribe = (framework: string): string[] =>
    one.kinds({ kind: 'SUBSCRIBE_FRAMEWORK', framework, roles: ['*'], nowMs: 1 });
  for (let at = 0; at < LIMITS.frameworks; at++) t.deepEqual(subscribe(`f${at}`), ['FRAMEWORK_SUBSCRIBED']);
  t.deepEqual(subscribe('one-more'), ['FRAMEWORK_REFUSED']);
  t.deepEqual(subscribe('f0'), ['FRAMEWORK_SUBSCRIBED']);
});

test('nothing is left of a framework that was removed, whenever its tasks end', (t) => {
  for (const ended of ['before', 'after', 'lost'] as const) {
    const one = replica();
    one.apply(launch(1, ['j.0', 'j.1']));
    one.apply(update('j.0', 1, 'TASK_RUNNING'));
    if (ended === 'before') one.apply(update('j.0', 2, 'TASK_FINISHED'));
    if (ended === 'lost') one.apply({ kind: 'AGENT_UNREACHABLE', agent: 'id-1', epoch: 1, nowMs: 4_000 });
    const kinds = one.kinds({ kind: 'REMOVE_FRAMEWORK', framework: 'batch', nowMs: 5_000 });
    t.is(kinds.includes('TASK_FORGOTTEN'), ended === 'before');
    const tasks = ['j.0', 'j.1'].map((task) => ({ framework: 'batch', task, attempt: 0 }));
    const end = { reason: 'LOST_AFTER', message: '', nowMs: 9_000 } as const;
    if (ended === 'lost') one.apply({ kind: 'END_TASKS', tasks, state: 'TASK_LOST', ...end });
    if (ended === 'after') one.apply(update('j.0', 2, 'TASK_KILLED'));
    if (ended !== 'lost') one.apply(update('j.1', 1, 'TASK_KILLED'));
    t.is(one.registry.tasks.size, 0, ended);
    t.is(one.registry.finished.size, 2, ended);
  }
});

test('a built-in framework has no token', (t) => {
  const one = new Replica();
  const create = { kind: 'CREATE_TOKEN', token: 't', name: 'batch', hash: 'h', request: 'r', nowMs: 1 } as const;
  t.like(one.apply({ ...create, role: 'framework' })[0], { kind: 'REQUEST_REFUSED', fault: { code: 'NAME_TAKEN' } });
});

test('a name has one role, and a revoked token is gone', (t) => {
  const one = new Replica();
  const create = (token: string, role: 'user' | 'viewer'): RegistryEvent | undefined =>
    one.apply({ kind: 'CREATE_TOKEN', token, name: 'ann', role, hash: 'h', request: token, nowMs: 1 })[0];
  t.like(create('t1', 'user'), { kind: 'TOKEN_CREATED' });
  t.like(create('t2', 'viewer'), { kind: 'REQUEST_REFUSED', fault: { code: 'EXISTS' } });
  t.deepEqual(one.kinds({ kind: 'REVOKE_TOKEN', token: 'ann', request: 'r' }), ['TOKENS_REVOKED']);
  t.deepEqual(one.kinds({ kind: 'REVOKE_TOKEN', token: 'ann', request: 'r' }), [], 'a request is done once');
  t.deepEqual(one.kinds({ kind: 'REVOKE_TOKEN', token: 'ann', request: 'r2' }), ['REQUEST_REFUSED']);
});

const commands = fc.array(
  fc.oneof(
    fc
      .record({ counter: fc.integer({ min: 1, max: 4 }), keep: fc.boolean() })
      .map(({ counter }) => registration({ counter })),
    fc
      .record({
        tasks: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 3 }),
        epoch: fc.integer({ min: 1, max: 20 }),
        attempt: fc.integer({ min: 0, max: 3 }),
      })
      .map(({ tasks, epoch, attempt }) => launch(epoch, tasks, '1.5', attempt)),
    fc
      .record({
        task: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
        sequence: fc.integer({ min: 1, max: 3 }),
        attempt: fc.integer({ min: 0, max: 3 }),
        state: fc.constantFrom('TASK_RUNNING' as const, 'TASK_FINISHED' as const, 'TASK_FAILED' as const),
      })
      .map(({ task, sequence, state, attempt }) => update(task, sequence, state, attempt)),
    fc.constant<Command>({ kind: 'AGENT_UNREACHABLE', agent: 'id-1', epoch: 1, nowMs: 1 }),
    fc.constantFrom('a', 'b', 'c').map(
      (task): Command => ({
        kind: 'ACKNOWLEDGE',
        framework: 'batch',
        updates: [1, 2, 3].map((at) => ({ task, uuid: `${task}-${at}` })),
        nowMs: 9,
      }),
    ),
    fc.constantFrom('r1', 'r2', 'r3').chain((request) =>
      fc.constantFrom<Command>(
        { kind: 'CREATE_TOKEN', token: request, name: 'ann', role: 'user', hash: 'h', request, nowMs: 1 },
        { kind: 'REVOKE_TOKEN', token: 'ann', request },
        { kind: 'CREATE_TOKEN', token: 'j', name: 'roof', role: 'join', hash: 'h', request, nowMs: 1 },
        {
          ...{ kind: 'JOIN_AGENT', by: 'roof', name: 'pi', exact: false, identity: { machine: 'm1', serial: '' } },
          ...{ token: `b-${request}`, hash: request, request, nowMs: 1 },
        },
        { kind: 'AGENT_GONE', agent: 'other', request, nowMs: 1 },
        { kind: 'STORE', framework: 'batch', key: request, value: 'x', version: 0, request },
      ),
    ),
    fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'x')).map(
      (listed): Command => ({
        kind: 'RECONCILE_AGENT',
        agent: 'id-1',
        epoch: 1,
        nowMs: 5,
        tasks: listed.map((task) => ({
          framework: 'batch',
          task,
          attempt: 0,
          restart: 0,
          state: 'TASK_RUNNING',
          sequence: 0,
          resources: resourcesOf('cpus:0.1'),
        })),
      }),
    ),
    fc
      .constantFrom('a', 'b')
      .map((task): Command => ({ kind: 'KILL', framework: 'batch', tasks: [{ task, graceMs: undefined }] })),
  ),
  { maxLength: 60 },
);

test('a snapshot and what came after it are the whole log, and a request has one effect', (t) => {
  fc.assert(
    fc.property(commands, fc.nat(60), (list, at) => {
      const whole = replica();
      const restored = new Replica();
      const remembered = new Set<string>();
      for (const [index, command] of list.entries()) {
        if (index === Math.min(at, list.length - 1)) {
          restored.registry = registryOf([...snapshotSlices(whole.registry)]);
          restored.index = whole.index;
        }
        const events = whole.apply(command);
        if (restored.index > 0) restored.apply(command);
        if (command.kind !== 'CREATE_TOKEN' && command.kind !== 'REVOKE_TOKEN') continue;
        if (remembered.has(command.request) && events.length > 0) return false;
        if (whole.registry.requests.has(command.request)) remembered.add(command.request);
      }
      if (restored.index > 0) t.deepEqual(restored.registry, whole.registry);
      return true;
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test('of a task that has ended at most 200 bytes are kept, whatever it said', (t) => {
  const one = new Replica();
  const agent = 'agent-0123456789abcdef';
  one.apply(registration({ agent }));
  one.apply({ kind: 'SUBSCRIBE_FRAMEWORK', framework: 'batch', roles: ['ann'], nowMs: 1_000 });
  const task = 'a-rather-long-name-of-a-job.9999';
  const launched = launch(1, [task]);
  if (launched.kind !== 'LAUNCH') return t.fail();
  one.apply({ ...launched, agent, nowMs: 1_767_225_600_000 });
  const status = { framework: 'batch', task, attempt: 0, restart: 12, uuid: 'u', sequence: 1 };
  const output = { stdout: 10_485_760_000, stderr: 10_485_760_000 };
  const told = {
    state: 'TASK_FAILED' as const,
    reason: 'MAX_COMPLETION_TIME_REACHED' as const,
    message: '→'.repeat(500),
    exitCode: 143,
    output,
  };
  one.apply({ kind: 'UPDATE_TASKS', agent, epoch: 1, updates: [{ ...status, ...told }], nowMs: 1_767_225_600_000 });
  const before = [...snapshotSlices(one.registry)].reduce((bytes, slice) => bytes + slice.length, 0);
  one.apply({ kind: 'ACKNOWLEDGE', framework: 'batch', updates: [{ task, uuid: 'u' }], nowMs: 1_767_225_600_000 });
  t.is(one.registry.finished.size, 1);
  const kept = [...snapshotSlices(one.registry)].at(-1)?.length ?? 0;
  t.true(before > 0 && kept < 230, `${kept} bytes with the slice around it`);
  t.deepEqual(registryOf(snapshotSlices(one.registry)), one.registry);
});

test('the history and the memory of requests are bounded by number and age', (t) => {
  const one = replica();
  const day = 24 * 3_600_000;
  const run = (task: string, nowMs: number): void => {
    one.apply(launch(1, [task]));
    const status = {
      framework: 'batch',
      task,
      attempt: 0,
      restart: 0,
      uuid: task,
      sequence: 1,
      state: 'TASK_FINISHED' as const,
    };
    one.apply({ kind: 'UPDATE_TASKS', agent: 'id-1', epoch: 1, updates: [status], nowMs });
    one.apply({ kind: 'ACKNOWLEDGE', framework: 'batch', updates: [{ task, uuid: task }], nowMs });
  };
  run('old', 0);
  run('young', 6 * day);
  t.is(one.registry.finished.size, 2);
  run('new', 8 * day);
  t.deepEqual([...one.registry.finished.keys()], ['batch/young/0', 'batch/new/0']);
  for (let at = 0; at < LIMITS.finishedTasks; at++) run(`t${at}`, 8 * day);
  t.is(one.registry.finished.size, LIMITS.finishedTasks);
  for (let at = 0; at <= LIMITS.requests; at++) {
    one.apply({ kind: 'CREATE_TOKEN', token: 't', name: 'ann', role: 'user', hash: 'h', request: `r${at}`, nowMs: 1 });
  }
  t.is(one.registry.requests.size, LIMITS.requests);
  t.false(one.registry.requests.has('r0'));
});

test('whatever is committed: an agent is never over-committed, and a replica is the same', (t) => {
  fc.assert(
    fc.property(commands, (list) => {
      const one = replica();
      const two = replica();
      for (const command of list) {
        one.apply(command);
        two.apply(command);
        const used = tasksOfAgent(one.registry, 'id-1').filter(
          ({ state, orphan }) => !isTerminal(state) && !orphan,
        ).length;
        if (!contains(resourcesOf('cpus:4'), used === 0 ? [] : resourcesOf(`cpus:${used * 1.5}`))) return false;
      }
      t.deepEqual(one.registry, two.registry);
      t.deepEqual(registryOf(snapshotSlices(one.registry)), one.registry, 'a snapshot is the registry');
      return true;
    }),
    { numRuns: 200 },
  );
});

test('a list of ten thousand tasks is cut over entries of the log, and read as one command', (t) => {
  const tasks = Array.from({ length: 10_000 }, (_, index) => ({
    framework: 'batch',
    task: `a-rather-long-job-name.${index}`,
    attempt: 0,
    restart: 0,
    state: 'TASK_RUNNING' as const,
    sequence: 1,
    resources: resourcesOf('cpus:0.1;mem:32'),
  }));
  const entries = encodeCommand(registration({ tasks }));
  if (entries instanceof Fault) throw entries;
  t.true(entries.length > 10 && entries.every((entry) => entry.length <= LIMITS.commandBytes));
  const one = restored();
  one.apply(registration({ tasks }));
  t.is(one.registry.tasks.size, 10_000);
  t.is(one.registry.agents.get('id-1')?.epoch, entries.length + 1, 'the epoch is the index of the last entry');
});

test('a command whose end never came is forgotten at the no-op of the next leader', (t) => {
  const long = encodeCommand(launch(1, ['a']));
  const parts = encodeCommand(registration({ hostname: 'x'.repeat(100_000) }));
  if (long instanceof Fault || parts instanceof Fault) throw new Error('both can be encoded');
  const reader = new CommandReader();
  const [first, second, third] = parts;
  if (first === undefined || second === undefined || third === undefined) throw new Error('three parts');
  t.is(reader.read(first), undefined);
  t.false(reader.idle);
  t.is(reader.read(new Uint8Array()), undefined);
  t.true(reader.idle);
  t.is(reader.read(second), undefined, 'a part without a beginning');
  t.is(reader.read(third), undefined);
  t.is(reader.read(first), undefined);
  t.is(reader.read(long[0] ?? first)?.kind, 'LAUNCH');
  t.true(reader.idle);
  for (const part of [first, second]) t.is(reader.read(part), undefined);
  t.is(reader.read(third)?.kind, 'REGISTER_AGENT');
});

test('a snapshot of large records is cut by bytes, and read again', (t) => {
  const one = replica();
  for (let index = 0; index < 40; index++) {
    one.apply({
      kind: 'STORE',
      framework: 'batch',
      key: `k${index}`,
      value: 'x'.repeat(LIMITS.storeValueBytes),
      version: 0,
      request: 'r',
    });
  }
  const slices = [...snapshotSlices(one.registry)];
  t.true(slices.every(({ length }) => length < 2 * LIMITS.commandBytes));
  t.deepEqual(registryOf(slices), one.registry);
});

test('of a group all tasks are placed or none, whatever else the command holds', (t) => {
  const replica = new Replica();
  replica.apply(registration());
  replica.apply({ kind: 'SUBSCRIBE_FRAMEWORK', framework: 'batch', roles: ['ann'], nowMs: 1_000 });
  const command = launch(replica.registry.agents.get('id-1')?.epoch ?? 0, ['before', 'a', 'b', 'c', 'after']);
  if (command.kind !== 'LAUNCH') return t.fail();
  const tasks = command.tasks.map((info) => (/^.$/.test(info.task) ? { ...info, group: 'g' } : info));
  // One cpu each, of four: the fifth task would fit only without the group, and c not at all.
  const [before, a, b, c, after] = tasks;
  if (c === undefined || before === undefined || a === undefined || b === undefined || after === undefined)
    return t.fail();
  const large = { ...c, resources: resourcesOf('cpus:2;mem:32') };
  const events = replica.apply({ ...command, tasks: [before, a, b, large, after] });
  t.deepEqual(
    events.map((event) => [event.kind, event.kind === 'TASK_PLACED' ? event.task.info.task : '']),
    [
      ['TASK_PLACED', 'before'],
      ['TASK_REFUSED', ''],
      ['TASK_REFUSED', ''],
      ['TASK_REFUSED', ''],
      ['TASK_PLACED', 'after'],
    ],
  );
  return t.is(replica.registry.tasks.size, 2);
});
