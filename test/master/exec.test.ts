import test from 'ava';
import { ExecInput } from '../../master/tasks/exec-input.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { greeting, MasterWorld, ScriptedAgent, ScriptedClient, ScriptedFramework, task } from './world.ts';

test('every program beside a task is told to everybody, however its session began', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const pi = new ScriptedAgent(world, 'pi');
  await pi.say({ ...greeting('pi'), attributes: [{ name: 'exec', text: 'yes' }] });
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch(['a', 'b'].map((name) => task(name, { stays: true })));
  const operator = new ScriptedClient(world, 'op');
  let asked = 0;
  const say = async (beside: string, program?: string): Promise<void> => {
    const used = { stdout: 0, stderr: 0 };
    const word = { session: 's', turn: asked, used, ...(program === undefined ? {} : { start: { argv: [program] } }) };
    const answer = await operator.ask(`e${asked++}`, 'exec', { framework: 'fw', task: beside, word });
    t.is(answer?.fault?.message, undefined);
  };
  await say('a');
  for (const [beside, program] of [
    ['a', 'ls'],
    ['a', 'ls'],
    ['a', 'rm'],
    ['b', 'rm'],
  ] as const)
    await say(beside, program);
  const answer = await operator.ask('events', 'events');
  const { events = [] } = (answer?.body ?? {}) as { events?: { kind: string; text: string }[] };
  t.deepEqual(
    events.filter(({ kind }) => kind === 'exec').map(({ text }) => text),
    ['op runs "ls" beside task a on pi', 'op runs "rm" beside task a on pi', 'op runs "rm" beside task b on pi'],
  );
});

test('little input is on its way to an agent, whoever types: the rest is left out of its word, and taken when it comes again', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const pi = new ScriptedAgent(world, 'pi');
  await pi.say({ ...greeting('pi'), attributes: [{ name: 'exec', text: 'yes' }] });
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('a', { stays: true })]);
  const operator = new ScriptedClient(world, 'op');
  await world.until(() => operator.bus.connected);
  const { execInputBytes: bytes } = LIMITS;
  const data = 'x'.repeat(bytes);
  let turn = 0;
  const say = async (session: string, offset: number): Promise<void> => {
    const word = { session, turn: turn++, used: { stdout: 0, stderr: 0 }, incarnation: 'i1' };
    const input = { offset, data: btoa(data), end: false };
    operator.tell(`e${turn}`, 'exec', { framework: 'fw', task: 'a', word: { ...word, input } });
    await world.clock.advance(10);
  };
  const handedOn = (): [string, number][] =>
    pi.heard.flatMap((message) =>
      message.type === 'EXEC' && message.word.input !== undefined
        ? [[message.request, message.word.input.offset] as [string, number]]
        : [],
    );
  for (const offset of [0, 1, 2, 3]) await say('s1', offset * bytes);
  await say('s2', 0);
  t.deepEqual(handedOn(), [
    ['s1', 0],
    ['s1', bytes],
  ]);
  const cut = pi.heard.flatMap((message) => (message.type === 'EXEC' ? [message.word.input?.data.length ?? 0] : []));
  t.deepEqual(cut, [bytes, bytes / 2, 0, 0, 0], 'of the second so much as leaves some for others');
  t.is(pi.heard.filter(({ type }) => type === 'EXEC').length, 5, 'the words themselves are');
  // Nobody says that it was taken: it was lost, or its program does not read.
  await world.clock.advance(5_000);
  await say('s2', 0);
  t.is(handedOn().length, 3);
});

test('what a program has taken makes room for what follows', (t) => {
  const input = new ExecInput();
  const { execInputUnderwayBytes: most } = LIMITS;
  const ann = { agent: 'pi', owner: 'ann', session: 'a' };
  t.is(input.pass(ann, 0, most / 2, 0), most / 2);
  t.is(input.pass(ann, most / 2, most / 2, 0), most / 4);
  t.is(input.pass({ ...ann, session: 'b' }, 0, 1, 0), 0, 'a second session has no part of its own');
  t.is(
    input.pass({ ...ann, agent: 'other', session: 'c' }, 0, most, 0),
    (most * 3) / 4,
    'each agent has a link of its own',
  );
  input.taken('a', most / 2);
  t.is(input.pass(ann, (most * 3) / 4, most / 2, 1), most / 2);
  // The same again is on its way twice.
  t.is(input.pass(ann, (most * 3) / 4, 1, 1), 0);
});

test('an owner whose programs do not read leaves room for the input of others, at any time', (t) => {
  const input = new ExecInput();
  const { execInputUnderwayBytes: most, execInputBytes: bytes } = LIMITS;
  let key = 0;
  for (let second = 0; second < 60; second++) {
    for (const session of ['h1', 'h2', 'h3'])
      input.pass({ agent: 'pi', owner: 'hog', session }, 0, bytes, second * 1_000);
    t.is(input.pass({ agent: 'pi', owner: 'ann', session: 'keys' }, key, 1, second * 1_000), 1);
    input.taken('keys', ++key);
  }
  const now = 60_000;
  t.true(input.pass({ agent: 'pi', owner: 'ann', session: 'file' }, 0, bytes, now) >= most / 8);
  t.true(input.pass({ agent: 'pi', owner: 'bob', session: 'file2' }, 0, bytes, now) > 0);
});

test('the last words of a session are heard under a new leader too, though its task has ended since', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const pi = new ScriptedAgent(world, 'pi');
  await pi.say({ ...greeting('pi'), attributes: [{ name: 'exec', text: 'yes' }] });
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('a', { stays: true })]);
  const end = { framework: 'fw', task: 'a', attempt: 0, restart: 0, uuid: 'u1', sequence: 1 } as const;
  await pi.say({ type: 'UPDATE', epoch: pi.epoch, updates: [{ ...end, state: 'TASK_FINISHED', exitCode: 0 }] });
  await framework.acknowledgeAll();
  world.killMaster();
  pi.bus.kill();
  await world.start();
  const back = new ScriptedAgent(world, 'pi');
  const operator = new ScriptedClient(world, 'op');
  const say = (request: string, task: string) => {
    const word = { session: request, turn: 1, used: { stdout: 0, stderr: 0 }, incarnation: 'i1' };
    return operator.ask(request, 'exec', { framework: 'fw', task, attempt: 0, word });
  };
  const { agent, identity, incarnation, resources } = greeting('pi');
  const { epoch = 0, cluster = '', generation = 0 } = pi.last('REGISTERED') ?? {};
  const session = { epoch, cluster: { uuid: cluster, generation }, attributes: [{ name: 'exec', text: 'yes' }] };
  await back.say({ type: 'RESUME', agent, identity, incarnation, resources, ...session });
  t.is((await say('e1', 'a'))?.fault, undefined);
  await world.clock.advance(1_000);
  t.like(back.last('EXEC'), { request: 'e1', task: 'a', client: 'op' });
  t.is((await say('e2', 'never'))?.fault?.code, 'NOT_FOUND');
});
