import test, { type ExecutionContext } from 'ava';
import { parseAttributes } from '../../protocol/attributes.ts';
import { Fault } from '../../protocol/faults.ts';
import { greeting, MasterWorld, ScriptedAgent, ScriptedFramework, task } from './world.ts';

const artifacts = [{ uri: 'http://web/model', extract: false, executable: false }];
const FETCHES = attributesOf('artifacts:yes');

function attributesOf(text: string): Exclude<ReturnType<typeof parseAttributes>, Fault> {
  const attributes = parseAttributes(text);
  if (attributes instanceof Fault) throw new Error(attributes.message);
  return attributes;
}

interface Scene {
  readonly world: MasterWorld;
  readonly framework: ScriptedFramework;
  readonly agent: ScriptedAgent;
  /** What the framework was last told of a task. */
  told(name: string): object | undefined;
  /** Names of the tasks that the agent was told to run. */
  ran(): string[];
}

async function scene(t: ExecutionContext, attributes: typeof FETCHES): Promise<Scene> {
  const world = new MasterWorld();
  t.is(await world.start(), undefined);
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi', { attributes }));
  await world.until(() => framework.offers().length > 0);
  return {
    world,
    framework,
    agent,
    told: (name) =>
      framework
        .of('UPDATE')
        .flatMap(({ updates }) => updates)
        .findLast((update) => update.task === name),
    ran: () =>
      agent.heard.flatMap((message) => (message.type === 'RUN' ? message.tasks.map(({ info }) => info.task) : [])),
  };
}

test('a task with artifacts is not given to an agent that does not fetch them: of an earlier version, or a device', async (t) => {
  const { framework, told, ran } = await scene(t, []);
  await framework.launch([task('with', {}, { artifacts }), task('without')]);
  t.like(told('with'), { state: 'TASK_ERROR', reason: 'TASK_INVALID' });
  t.regex(JSON.stringify(told('with')), /pi fetches no artifacts/);
  t.deepEqual(ran(), ['without']);
});

test('nor is any other of its group', async (t) => {
  const { framework, told, ran } = await scene(t, []);
  const tasks = [task('with', {}, { artifacts }), task('without')];
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [{ type: 'LAUNCH_GROUP', group: 'g', tasks }],
  });
  t.like(told('with'), { state: 'TASK_ERROR' });
  t.like(told('without'), { state: 'TASK_ERROR' });
  t.deepEqual(ran(), []);
});

test('one that fetches is given it', async (t) => {
  const { framework, agent } = await scene(t, FETCHES);
  await framework.launch([task('with', {}, { artifacts })]);
  t.like(agent.last('RUN')?.tasks[0]?.info, { task: 'with', artifacts });
});

test('an agent that was taken back to an earlier version before it had answered a launch is not told it again', async (t) => {
  const { world, framework, agent, told, ran } = await scene(t, FETCHES);
  const { epoch } = agent;
  await framework.launch([task('with', {}, { artifacts }), task('without')]);
  t.deepEqual(ran(), ['with', 'without'], 'and it does not say that it has it');
  agent.bus.kill();
  const back = new ScriptedAgent(world, 'pi');
  const { versions: _v, counter: _c, hostname: _h, boot: _b, metered: _m, tasks: _t, ...rest } = greeting('pi');
  const registered = agent.last('REGISTERED');
  await back.say({
    ...{ agent: rest.agent, identity: rest.identity, incarnation: rest.incarnation, resources: rest.resources },
    type: 'RESUME',
    epoch,
    cluster: { uuid: registered?.cluster ?? '', generation: registered?.generation ?? 0 },
    attributes: [],
  });
  await world.clock.advance(20_000);
  const given = back.heard.flatMap((message) =>
    message.type === 'RUN' ? message.tasks.map(({ info }) => info.task) : [],
  );
  t.deepEqual([...new Set(given)], ['without']);
  t.like(told('with'), { state: 'TASK_DROPPED' });
  t.regex(JSON.stringify(told('with')), /pi fetches no artifacts/);
});
