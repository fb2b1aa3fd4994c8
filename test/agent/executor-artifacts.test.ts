import test from 'ava';
import { ArtifactError } from '../../io/artifact-source.ts';
import type { LineConnection } from '../../io/line-socket.ts';
import { TIMES } from '../../protocol/limits.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { sampleBytes } from '../conformance/artifact-source.ts';
import { executorTask, type ScriptedExecutor, type ScriptedTask, scriptedExecutors } from './scripted-executor.ts';
import { AgentWorld } from './world.ts';

const BYTES = sampleBytes(100_000);
const URI = 'http://h/model';
const MINUTE = 60_000;

interface Scene {
  readonly world: AgentWorld;
  readonly executors: ScriptedExecutor[];
  place(name: string, does?: ScriptedTask, more?: Partial<TaskInfo>, uri?: string): void;
  /** Names of the tasks that executors were handed. */
  handed(): string[];
}

async function scene(seed: number): Promise<Scene> {
  const world = new AgentWorld(seed);
  const executors = scriptedExecutors(world);
  world.source.put(URI, BYTES);
  world.source.put('http://h/slow', BYTES, { silent: true });
  await world.up();
  return {
    world,
    executors,
    place: (name, does = {}, more = {}, uri = URI) => {
      const artifacts = [{ uri, extract: false, executable: false }];
      world.master.place(name, executorTask('e', does, { artifacts, ...more }));
    },
    handed: () => executors.flatMap(({ launched }) => launched.map(({ task }) => task)),
  };
}

test('a task of an executor has its files in a sandbox of its own before the executor is handed it, and is told where', async (t) => {
  const { world, executors, place, handed } = await scene(1);
  place('slow', {}, {}, 'http://h/slow');
  place('with', { runMs: 500 });
  world.master.place('without', executorTask('e', { runMs: 500 }));
  await world.until(() => world.master.ended('with') && world.master.ended('without'), MINUTE);
  t.is(world.master.last('with')?.state, 'TASK_FINISHED');
  t.deepEqual(handed().sort(), ['with', 'without']);
  t.is(executors.length, 1);
  const launched = executors[0]?.launched ?? [];
  t.is(launched.find(({ task }) => task === 'with')?.sandbox, '/data/tasks/batch/with.0/0/work');
  t.is(launched.find(({ task }) => task === 'without')?.sandbox, undefined);
  // Where they come from may hold a password: that, an executor is not told.
  t.false(JSON.stringify(launched).includes('http'));
  t.deepEqual([...(world.filled.contents.get('batch/with.0/0')?.keys() ?? [])], ['model']);
  t.deepEqual([...world.filled.handedOver], ['batch/with.0/0']);
  await world.until(() => world.master.states('slow').length > 0, MINUTE);
  t.like(world.master.last('slow'), { state: 'TASK_STARTING' });
  t.regex(world.master.last('slow')?.message ?? '', /^fetching http:\/\/h\/slow/);
});

test('killed while it is fetched, it ends, nothing is fetched any more, and its executor stays', async (t) => {
  const { world, executors, place, handed } = await scene(2);
  place('slow', {}, {}, 'http://h/slow');
  await world.until(() => world.source.open === 1, MINUTE);
  world.master.kill('slow', 60_000);
  await world.until(() => world.master.ended('slow'), MINUTE);
  t.like(world.master.last('slow'), { state: 'TASK_KILLED' });
  await world.until(() => world.source.open === 0, MINUTE);
  t.deepEqual(handed(), []);
  t.true(executors[0]?.alive);
});

test('what cannot be had ends the task, and the others of its group', async (t) => {
  const { world, place, handed } = await scene(3);
  world.source.put('http://h/none', BYTES, { failure: new ArtifactError('404', false) });
  world.source.put('http://h/away', BYTES, { failure: new ArtifactError('nobody listens there', true) });
  place('none', {}, {}, 'http://h/none');
  place('away', {}, {}, 'http://h/away');
  place('g1', {}, { group: 'g' });
  place('g2', {}, { group: 'g' }, 'http://h/none');
  for (const name of ['none', 'away', 'g1', 'g2'])
    await world.until(() => world.master.ended(name), TIMES.artifactPatienceMs * 2);
  t.like(world.master.last('none'), { state: 'TASK_FAILED', reason: 'ARTIFACT_FETCH_FAILED' });
  t.like(world.master.last('away'), { state: 'TASK_DROPPED', reason: 'ARTIFACT_UNREACHABLE' });
  t.like(world.master.last('g1'), { state: 'TASK_KILLED', reason: 'TASK_GROUP_FAILED' });
  t.deepEqual(handed(), []);
});

test('a group is handed over once all of it is there', async (t) => {
  const { world, executors, place, handed } = await scene(4);
  const late = world.source.contents.get(
    world.source.put('http://h/late', BYTES, { failure: new ArtifactError('nobody listens there', true) }),
  );
  place('g1', { runMs: 100 }, { group: 'g' });
  place('g2', { runMs: 100 }, { group: 'g' }, 'http://h/late');
  await world.until(() => world.source.readings.length === 5, MINUTE);
  t.deepEqual(handed(), []);
  if (late !== undefined) late.failure = undefined;
  await world.until(() => world.master.ended('g1') && world.master.ended('g2'), 10 * MINUTE);
  t.deepEqual(executors[0]?.groups, ['g']);
});

test('an agent that dies while it fetches goes on with it, and what was handed over is not handed over again', async (t) => {
  const { world, executors, place, handed } = await scene(5);
  place('with');
  place('slow', {}, {}, 'http://h/slow');
  await world.until(() => handed().length === 1 && world.master.states('slow').includes('TASK_STARTING'), MINUTE);
  world.kill();
  const slow = world.source.contents.get('http://h/slow');
  if (slow !== undefined) slow.silent = false;
  await world.up();
  await world.until(() => world.master.states('slow').includes('TASK_RUNNING'), 5 * MINUTE);
  t.deepEqual(handed(), ['with', 'slow']);
  t.is(executors.length, 1);
  t.deepEqual([...(world.filled.contents.get('batch/slow.0/0')?.keys() ?? [])], ['slow']);
  t.is(world.master.last('with')?.state, 'TASK_RUNNING');
});

test('an executor that comes back without a task it spoke of has lost it, though it gave that word no name', async (t) => {
  const world = new AgentWorld(6);
  const executors = scriptedExecutors(world, new Set(['e']));
  world.source.put(URI, BYTES);
  await world.up();
  world.master.place('with', executorTask('e', {}, { artifacts: [{ uri: URI, extract: false, executable: false }] }));
  await world.until(() => executors.length === 1, MINUTE);
  const secret = world.made.get(executors[0]?.folder ?? '')?.environment['MESQ_EXECUTOR_SECRET'];
  const lines: string[] = [];
  const subscribed = async (): Promise<LineConnection> => {
    const connection = await world.socket.connect();
    connection.onLine((line) => void lines.push(line));
    connection.send(JSON.stringify({ type: 'SUBSCRIBE', secret }));
    return connection;
  };
  const launches = (): number => lines.filter((line) => line.includes('"LAUNCH"')).length;
  const first = await subscribed();
  await world.until(() => launches() === 1, MINUTE);
  // Not begun, it is handed over again; begun, and lost, it is not.
  const second = await subscribed();
  await world.until(() => launches() === 2, MINUTE);
  second.send(JSON.stringify({ type: 'UPDATE', task: 'with', state: 'TASK_STARTING' }));
  await world.until(() => world.master.states('with').length > 0, MINUTE);
  await subscribed();
  await world.until(() => world.master.ended('with'), MINUTE);
  t.like(world.master.last('with'), { state: 'TASK_FAILED', reason: 'EXECUTOR_TERMINATED' });
  t.is(launches(), 2);
  first.close();
});

test('what was fetched for it goes with it', async (t) => {
  const { world, place } = await scene(7);
  place('with', { runMs: 500 });
  await world.until(() => world.master.ended('with'), MINUTE);
  const kept = async (): Promise<string[]> =>
    (await world.fetched.storage().list('')).filter((name) => /^[0-9a-f]{64}$/.test(name));
  await world.clock.advance(1_000);
  t.deepEqual(await kept(), []);
});
