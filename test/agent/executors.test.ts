import test from 'ava';
import { executorTask, scriptedExecutors } from './scripted-executor.ts';
import { AgentWorld, program } from './world.ts';

const MINUTE = 60_000;

test('an executor is started once for all its tasks, is told who it is, and its word reaches the master', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e', { runMs: 500 }));
  world.master.place('b', executorTask('e', { runMs: 900 }));
  await world.until(() => world.master.ended('a') && world.master.ended('b'), MINUTE);
  t.deepEqual(world.master.states('a'), ['TASK_RUNNING', 'TASK_FINISHED']);
  t.deepEqual(world.master.states('b'), ['TASK_RUNNING', 'TASK_FINISHED']);
  t.is(executors.length, 1);
  t.deepEqual(
    executors[0]?.launched.map(({ task }) => task),
    ['a', 'b'],
  );
  const [folder = ''] = world.made.keys();
  t.regex(folder, /^batch\/executors\/e\/[a-z0-9]+$/);
  const { environment = {}, argv = [] } = world.made.get(folder) ?? {};
  t.like(environment, {
    MESQ_FRAMEWORK: 'batch',
    MESQ_EXECUTOR_ID: 'e',
    MESQ_EXECUTOR_SOCKET: '/data/executors/socket',
    MESQ_AGENT: 'pi-1',
    MESQ_AGENT_ID: world.agent?.agent ?? '',
    MESQ_SANDBOX: `/data/tasks/${folder}/work`,
  });
  t.false(JSON.stringify(argv).includes(environment['MESQ_EXECUTOR_SECRET'] ?? ''));
  // Idle, it waits for the next task.
  world.master.place('c', executorTask('e', { runMs: 10 }));
  await world.until(() => world.master.ended('c'), MINUTE);
  t.is(executors.length, 1);
});

test('nobody else subscribes: without the secret the connection is closed, and a silent one too', async (t) => {
  const world = new AgentWorld();
  scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.until(() => world.master.states('a').length > 0, MINUTE);
  for (const first of [
    '{"type":"SUBSCRIBE","secret":"guessed"}',
    '{"type":"UPDATE","task":"a","state":"TASK_FINISHED"}',
    'no JSON',
    undefined,
  ]) {
    const connection = await world.socket.connect();
    const lines: string[] = [];
    let closed = false;
    connection.onLine((line) => void lines.push(line));
    connection.onClosed(() => {
      closed = true;
    });
    if (first !== undefined) connection.send(first);
    await world.until(() => closed, MINUTE);
    t.is(lines.length, first === undefined ? 0 : 1);
    t.true(lines.every((line) => line.includes('"ERROR"')));
  }
  t.deepEqual(world.master.states('a'), ['TASK_RUNNING']);
});

test('an executor that does not subscribe in a minute is ended, and its tasks with it', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world, new Set(['e']));
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.clock.advance(59_000);
  t.deepEqual(world.master.states('a'), []);
  await world.until(() => world.master.ended('a'), 10_000);
  t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'EXECUTOR_REGISTRATION_TIMEOUT' });
  t.false(executors[0]?.alive);
  t.like(world.master.of('EXECUTOR_ENDED')[0], { framework: 'batch', executor: 'e', status: 143 });
});

test('the end of its process fails the tasks of an executor, and the next task starts another', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.until(() => world.master.states('a').length > 0, MINUTE);
  world.machine.signal(executors[0]?.folder ?? '', 'SIGKILL');
  await world.until(() => world.master.ended('a'), MINUTE);
  t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'EXECUTOR_TERMINATED' });
  t.regex(world.master.last('a')?.message ?? '', /ended with 137/);
  t.like(world.master.of('EXECUTOR_ENDED')[0], { executor: 'e', status: 137 });
  world.master.place('b', executorTask('e', { runMs: 10 }));
  await world.until(() => world.master.ended('b'), MINUTE);
  t.is(world.master.last('b')?.state, 'TASK_FINISHED');
  t.is(executors.length, 2);
  t.not(executors[0]?.folder, executors[1]?.folder);
});

test('a task is killed through its executor; one that is deaf is told again, then ended with all it has', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  for (const [name, does] of [
    ['good', {}],
    ['deaf', { deaf: true }],
    ['other', {}],
  ] as const)
    world.master.place(name, executorTask('e', does));
  await world.until(() => world.master.states('other').length > 0, MINUTE);
  world.master.kill('good', 2_000);
  await world.until(() => world.master.ended('good'), MINUTE);
  t.like(world.master.last('good'), { state: 'TASK_KILLED', reason: 'KILLED_BY_REQUEST' });
  world.master.kill('deaf', 2_000);
  await world.clock.advance(1_900);
  t.deepEqual(
    executors[0]?.kills.map(({ task, graceMs }) => [task, graceMs > 0]),
    [
      ['good', true],
      ['deaf', true],
    ],
  );
  await world.clock.advance(1_000);
  t.deepEqual(executors[0]?.kills.at(-1), { task: 'deaf', graceMs: 0 });
  await world.until(() => world.master.ended('other'), MINUTE);
  t.like(world.master.last('deaf'), { state: 'TASK_KILLED', reason: 'KILLED_BY_REQUEST' });
  t.like(world.master.last('other'), { state: 'TASK_FAILED', reason: 'EXECUTOR_TERMINATED' });
});

test('a task that was killed before its executor had it never reaches it', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world, new Set(['e']));
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.until(() => executors.length > 0, MINUTE);
  world.master.kill('a');
  await world.until(() => world.master.ended('a'), MINUTE);
  t.like(world.master.last('a'), { state: 'TASK_KILLED', reason: 'KILLED_DURING_LAUNCH' });
  t.deepEqual(executors[0]?.launched, []);
});

test('a task of an executor that takes too long is ended for it', async (t) => {
  const world = new AgentWorld();
  scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e', {}, { maxCompletionMs: 30_000 }));
  await world.until(() => world.master.ended('a'), MINUTE);
  t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'MAX_COMPLETION_TIME_REACHED' });
});

test('an executor outlives its agent, names its tasks, and repeats what was not acknowledged: nothing runs twice', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('long', executorTask('e'));
  world.master.place('ends', executorTask('e', { runMs: 5_000 }));
  await world.until(() => world.master.states('ends').length > 0, MINUTE);
  world.kill();
  // One of them ends while nobody listens.
  await world.clock.advance(10_000);
  await world.start();
  await world.until(() => world.master.ended('ends'), MINUTE);
  t.deepEqual(world.master.states('ends'), ['TASK_RUNNING', 'TASK_FINISHED']);
  t.is(executors[0]?.registrations, 2);
  t.deepEqual(world.master.states('long'), ['TASK_RUNNING']);
  world.master.kill('long');
  await world.until(() => world.master.ended('long'), MINUTE);
  t.is(executors.length, 1);
  t.deepEqual(
    executors[0]?.launched.map(({ task }) => task),
    ['long', 'ends'],
  );
});

test('an executor that does not come back within 15 s of its agent is ended', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.until(() => world.master.states('a').length > 0, MINUTE);
  world.kill();
  executors[0]?.driver.abort();
  await world.start();
  await world.clock.advance(14_000);
  t.false(world.master.ended('a'));
  await world.until(() => world.master.ended('a'), 10_000);
  t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'EXECUTOR_REREGISTRATION_TIMEOUT' });
});

test('a reboot ends executors and what they ran; power that fails at any moment leaves nothing untold', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const world = new AgentWorld(seed);
    scriptedExecutors(world);
    await world.up();
    world.master.place('a', executorTask('e'));
    // Some before its acceptance, some after its start.
    await world.clock.advance(seed * 7 - 5);
    world.cutPower();
    await world.start();
    await world.until(() => world.master.ended('a') || world.master.states('a').length > 0, 30_000);
    await world.clock.advance(MINUTE);
    const last = world.master.last('a');
    const fresh = last?.state === 'TASK_RUNNING' && world.master.states('a').length === 1;
    t.true(fresh || last?.reason === 'AGENT_REBOOTED', `${seed}: ${last?.state} ${last?.reason}`);
  }
});

test('an executor that says the same again and again is listened to a hundred times a second, and loses no word', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  world.master.place('b', executorTask('e'));
  await world.until(() => world.master.states('b').length > 0, MINUTE);
  const [executor] = executors;
  for (let word = 0; word < 2_000; word++)
    executor?.driver.sendStatusUpdate({ task: 'a', state: 'TASK_RUNNING', message: `word ${word}` });
  executor?.driver.sendStatusUpdate({ task: 'a', state: 'TASK_FINISHED' });
  await world.clock.advance(5_000);
  const [, heard] = /^word (\d+)$/.exec(world.master.last('a')?.message ?? '') ?? [];
  t.true(Number(heard) > 300 && Number(heard) < 1_000, `${heard}`);
  t.false(world.master.ended('a'));
  await world.until(() => world.master.ended('a'), MINUTE);
  t.is(world.master.last('a')?.state, 'TASK_FINISHED');
});

test('who does not say who it is keeps no place from an executor', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  let closed = 0;
  for (let count = 0; count < 60; count++) {
    const stranger = await world.socket.connect();
    stranger.onClosed(() => closed++);
  }
  world.master.place('a', executorTask('e'));
  await world.until(() => world.master.states('a').length > 0, MINUTE);
  t.is(executors[0]?.registrations, 1);
  t.is(closed, 11, 'the oldest');
});

test('an agent killed at any step of the start of an executor finds it: one start, one launch', async (t) => {
  for (let stepMs = 0; stepMs < 12; stepMs++) {
    const world = new AgentWorld(stepMs + 1);
    const executors = scriptedExecutors(world);
    await world.up();
    world.master.place('a', executorTask('e', { runMs: 20_000 }));
    await world.clock.advance(stepMs);
    world.kill();
    await world.start();
    await world.until(() => world.master.ended('a'), MINUTE * 2);
    t.deepEqual(world.master.states('a'), ['TASK_RUNNING', 'TASK_FINISHED'], `${stepMs}`);
    t.deepEqual(
      executors.flatMap(({ launched }) => launched.map(({ task }) => task)),
      ['a'],
      `${stepMs}`,
    );
  }
});

test('words go both ways, wait for an executor that has not subscribed, and are bounded', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.until(() => executors.length > 0, MINUTE);
  const say = (data: string): void =>
    world.master.command({ type: 'MESSAGE', framework: 'batch', executor: 'e', data });
  say('early');
  await world.until(() => world.master.of('MESSAGE').length > 0, MINUTE);
  t.like(world.master.of('MESSAGE')[0], { framework: 'batch', executor: 'e', data: 'heard early' });
  for (let word = 0; word < 300; word++) executors[0]?.driver.sendFrameworkMessage(`w${word}`);
  await world.clock.advance(5_000);
  t.true(world.master.of('MESSAGE').length <= 250);
  t.true(executors[0]?.faults.some((message) => message.includes('100 messages a second')));
  world.master.command({ type: 'MESSAGE', framework: 'batch', executor: 'nobody', data: 'lost' });
  await world.clock.advance(1_000);
});

for (const obeys of [true, false]) {
  test(`a shutdown ends an executor and its tasks, ${obeys ? 'politely' : 'and where it is deaf by signals'}`, async (t) => {
    const world = new AgentWorld();
    const executors = scriptedExecutors(world);
    await world.up();
    world.master.place('a', executorTask('e', {}, {}, { argv: program({ stays: true, ignoresTerm: !obeys }) }));
    await world.until(() => world.master.states('a').length > 0, MINUTE);
    const [executor] = executors;
    if (executor !== undefined) executor.obeys = obeys;
    world.master.command({ type: 'SHUTDOWN_EXECUTORS', executors: [{ framework: 'batch', executor: 'e' }] });
    await world.until(() => world.master.ended('a'), 10_000);
    t.is(executor?.shutdowns, 1);
    t.like(world.master.last('a'), { state: 'TASK_FAILED', reason: 'EXECUTOR_TERMINATED' });
    t.is(world.master.of('EXECUTOR_ENDED')[0]?.status, obeys ? 143 : 137);
  });
}

test('executors without a task are told to the master, at each connection too', async (t) => {
  const world = new AgentWorld();
  scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e', { runMs: 10 }));
  await world.until(() => world.master.of('IDLE_EXECUTORS').length > 0, MINUTE);
  t.deepEqual(world.master.of('IDLE_EXECUTORS')[0]?.executors, [{ framework: 'batch', executor: 'e' }]);
  world.cut();
  await world.until(() => world.master.of('IDLE_EXECUTORS').length > 1, MINUTE);
});

test('two tasks that describe one executor differently do not share it', async (t) => {
  const world = new AgentWorld();
  scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  world.master.place('b', executorTask('e', {}, {}, { environment: { OTHER: '1' } }));
  await world.until(() => world.master.ended('b'), MINUTE);
  t.like(world.master.last('b'), { state: 'TASK_ERROR', reason: 'TASK_INVALID' });
  await world.until(() => world.master.last('a')?.state === 'TASK_RUNNING', MINUTE);
  t.pass();
});

test('a group of commands: one that fails or is killed ends all, one that finishes does not', async (t) => {
  const world = new AgentWorld();
  await world.up();
  const group = (name: string, does: object) => ({ argv: program(does), group: name });
  world.master.place('g1-done', group('g1', { runMs: 10 }));
  world.master.place('g1-fails', group('g1', { runMs: 5_000, code: 3 }));
  world.master.place('g1-stays', group('g1', { stays: true }));
  world.master.place('g2-stays', group('g2', { stays: true }));
  world.master.place('g2-killed', group('g2', { stays: true }));
  await world.until(() => world.master.ended('g1-done'), MINUTE);
  t.false(world.master.ended('g1-stays'));
  await world.until(() => world.master.ended('g1-stays'), MINUTE);
  t.like(world.master.last('g1-stays'), { state: 'TASK_KILLED', reason: 'TASK_GROUP_FAILED' });
  t.regex(world.master.last('g1-stays')?.message ?? '', /g1-fails.*TASK_FAILED/);
  t.false(world.master.ended('g2-stays'));
  world.master.kill('g2-killed');
  await world.until(() => world.master.ended('g2-stays'), MINUTE);
  t.like(world.master.last('g2-stays'), { state: 'TASK_KILLED', reason: 'TASK_GROUP_FAILED' });
  t.like(world.master.last('g2-killed'), { reason: 'KILLED_BY_REQUEST' });
});

test('a group of an executor comes in one word, and ends together, also across a crash of the agent', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  const tasks = ['a', 'b'].map((task) => ({
    framework: 'batch',
    info: world.master.place(task, executorTask('e', { deaf: task === 'b' }, { group: 'g' })).info,
  }));
  world.master.command({ type: 'RUN', tasks });
  await world.until(() => world.master.states('b').length > 0, MINUTE);
  t.true(executors[0]?.groups.includes('g'));
  world.master.kill('a');
  await world.until(() => executors[0]?.kills.some(({ task }) => task === 'b') === true, MINUTE);
  world.kill();
  await world.start();
  await world.until(() => world.master.ended('b'), MINUTE);
  t.like(world.master.last('a'), { state: 'TASK_KILLED', reason: 'KILLED_BY_REQUEST' });
  t.like(world.master.last('b'), { state: 'TASK_KILLED', reason: 'TASK_GROUP_FAILED' });
});

test('an agent that is declared gone ends its executors before itself', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  world.master.place('a', executorTask('e'));
  await world.until(() => world.master.states('a').length > 0, MINUTE);
  const { code, message, hint } = { code: 'GONE', message: 'gone', hint: '' };
  world.master.command({ type: 'SHUTDOWN', fault: { code, message, hint } });
  await world.until(() => world.faults.length > 0, MINUTE);
  t.false(executors[0]?.alive);
});

test('a task that does not fit into a line, or is one too many, has its answer; the others go on', async (t) => {
  const world = new AgentWorld();
  scriptedExecutors(world);
  await world.up();
  // Six bytes in JSON, one in CBOR.
  world.master.place('large', executorTask('e', {}, { argv: ['\u0001'.repeat(12_000)] }));
  await world.until(() => world.master.ended('large'), MINUTE);
  t.like(world.master.last('large'), { state: 'TASK_ERROR', reason: 'TASK_INVALID' });
  for (let count = 0; count <= 300; count++) world.master.place(`t${count}`, executorTask('e', { runMs: 60_000 }));
  await world.until(() => world.master.ended('t0') && world.master.ended('t299'), 10 * MINUTE);
  const ends = Array.from({ length: 301 }, (_, count) => world.master.last(`t${count}`)?.state);
  t.is(ends.filter((state) => state === 'TASK_FINISHED').length, 300);
  t.is(ends.filter((state) => state === 'TASK_DROPPED').length, 1);
});

test('an executor that the machine cannot start drops its tasks, and is started for the next', async (t) => {
  const world = new AgentWorld();
  scriptedExecutors(world);
  await world.up();
  world.machine.refusal = new Error('no room');
  world.master.place('a', executorTask('e'));
  await world.until(() => world.master.ended('a'), MINUTE);
  t.like(world.master.last('a'), { state: 'TASK_DROPPED', reason: 'LAUNCH_FAILED' });
  world.machine.refusal = undefined;
  world.master.place('b', executorTask('e', { runMs: 10 }));
  await world.until(() => world.master.ended('b'), MINUTE);
  t.is(world.master.last('b')?.state, 'TASK_FINISHED');
});

test('of the executors that have ended, only the newest keep a folder', async (t) => {
  const world = new AgentWorld();
  const executors = scriptedExecutors(world);
  await world.up();
  for (let count = 0; count < 30; count++) {
    world.master.place(`t${count}`, executorTask(`e${count}`, { runMs: 10 }));
    await world.until(() => world.master.ended(`t${count}`), MINUTE);
    world.machine.signal(executors[count]?.folder ?? '', 'SIGTERM');
    await world.clock.advance(1_000);
  }
  const folders = (): number => world.machine.folders.filter((folder) => folder.includes('/executors/')).length;
  t.is(folders(), 20);
  world.kill();
  await world.start();
  await world.clock.advance(1_000);
  t.is(folders(), 20);
});

test('a crash at every single step of the disk: a task of an executor is launched once, and told in order', async (t) => {
  let steps = 0;
  for (let step = 1; step <= 45; step++) {
    for (const power of [false, true]) {
      const world = new AgentWorld(step);
      const executors = scriptedExecutors(world);
      world.disk.crashAt = step;
      world.onDeath = () => {
        world.disk.crashAt = Number.POSITIVE_INFINITY;
        world.clock.after(0, () => (power ? world.cutPower() : world.kill()));
        world.clock.after(1_000, () => void world.start());
      };
      void world.start();
      await world.until(() => world.master.epoch > 0, 10 * MINUTE);
      world.master.place('a', executorTask('e', { runMs: 3_000 }));
      world.master.place('b', executorTask('e'));
      await world.clock.advance(2_000);
      world.master.kill('b');
      await world.until(() => world.master.ended('a') && world.master.ended('b'), 10 * MINUTE);
      await world.clock.advance(MINUTE);
      steps = Math.max(steps, world.disk.steps);
      const at = `step ${step}, ${power ? 'power' : 'process'}`;
      for (const task of ['a', 'b']) {
        const updates = world.master.placed.get(`${task}.0`)?.updates ?? [];
        t.true(
          updates.every(({ sequence }, index) => sequence === index + 1),
          at,
        );
      }
      const launched = executors.flatMap((executor) => executor.launched.map(({ task }) => task));
      t.is(new Set(launched).size, launched.length, `${at}: ${launched.join(' ')}`);
      const { state, reason } = world.master.last('a') ?? {};
      t.true(state === 'TASK_FINISHED' || (power && reason === 'AGENT_REBOOTED'), `${at}: ${state} ${reason}`);
      t.is(executors.filter(({ alive }) => alive).length > 1, false, at);
    }
  }
  t.true(steps > 20);
});
