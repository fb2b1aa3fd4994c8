import test from 'ava';
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
