import test from 'ava';
import { Fault } from '../../protocol/faults.ts';
import { AgentWorld, program, URL } from './world.ts';

test('an agent registers, runs a task and reports it, once and in order', async (t) => {
  const world = new AgentWorld();
  await world.up();
  const [register] = world.master.of('REGISTER');
  t.like(register, { name: 'pi-1', counter: 1, hostname: 'pi-1', boot: 'boot-1', part: 0, last: true });
  world.master.place('job.0', { argv: program({ output: 'hello' }), resources: [{ name: 'cpus', scalar: 500 }] });
  await world.until(() => world.master.ended('job.0'));
  t.deepEqual(world.master.states('job.0'), ['TASK_RUNNING', 'TASK_FINISHED']);
  t.like(world.master.last('job.0'), { sequence: 2, restart: 0, exitCode: 0, output: { stdout: 5, stderr: 5 } });
  const environment = world.made.get('batch/job.0.0/0')?.environment;
  t.like(environment, { MESQ_TASK_ID: 'job.0', MESQ_ATTEMPT: '0', MESQ_RESTART: '0', MESQ_CPUS: '0.5' });
  t.is(environment?.['MESQ_SANDBOX'], '/data/tasks/batch/job.0.0/0/work');
});

test('an acknowledged end is not told again, an unacknowledged one is, ever more slowly', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.acknowledging = false;
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  const told = () => world.master.of('UPDATE').length;
  const first = told();
  await world.clock.advance(35_000);
  t.true(told() >= first + 2);
  world.master.acknowledging = true;
  await world.clock.advance(600_000);
  const last = told();
  await world.clock.advance(7_200_000);
  t.is(told(), last);
});

test('exit codes become states and reasons', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('three', { argv: program({ code: 3 }) });
  world.master.place('missing', { argv: program({ code: 127 }) });
  world.master.place('long', { argv: program({ stays: true }), maxCompletionMs: 60_000 });
  await world.until(() => ['three', 'missing', 'long'].every((task) => world.master.ended(task)));
  t.like(world.master.last('three'), { state: 'TASK_FAILED', reason: 'COMMAND_FAILED', exitCode: 3 });
  t.like(world.master.last('missing'), { state: 'TASK_FAILED', reason: 'COMMAND_NOT_FOUND', exitCode: 127 });
  t.like(world.master.last('long'), { state: 'TASK_FAILED', reason: 'MAX_COMPLETION_TIME_REACHED' });
});

test('a kill ends a task with SIGTERM, and after its grace with SIGKILL; a later one only shortens the grace', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('polite', { argv: program({ stays: true }) });
  world.master.place('deaf', { argv: program({ stays: true, ignoresTerm: true, forks: true }), killGraceMs: 60_000 });
  await world.until(() => world.master.states('deaf').length > 0 && world.master.states('polite').length > 0);
  world.master.kill('polite');
  await world.until(() => world.master.ended('polite'), 2_000);
  t.like(world.master.last('polite'), { state: 'TASK_KILLED', exitCode: 143 });
  world.master.kill('deaf');
  await world.clock.advance(1_000);
  t.false(world.master.ended('deaf'));
  world.master.kill('deaf', 600_000);
  await world.clock.advance(1_000);
  world.master.kill('deaf', 500);
  await world.until(() => world.master.ended('deaf'), 2_000);
  t.like(world.master.last('deaf'), { state: 'TASK_KILLED', exitCode: 137 });
  t.is(world.machine.processes('batch/deaf.0/0'), 0);
});

test('a kill that overtakes the start, or comes before the launch is durable, leaves nothing running', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.machine.freeze();
  world.master.place('frozen', { argv: program({ stays: true }) });
  await world.until(() => world.made.has('batch/frozen.0/0'));
  world.master.kill('frozen');
  await world.until(() => world.master.ended('frozen'), 30_000);
  world.machine.thaw();
  await world.clock.advance(1_000);
  t.like(world.master.last('frozen'), { state: 'TASK_KILLED', reason: 'KILLED_DURING_LAUNCH' });
  t.is(world.machine.processes('batch/frozen.0/0'), 0);
  world.master.place('early', { argv: program({ stays: true }) });
  world.master.kill('early');
  await world.until(() => world.master.ended('early'), 30_000);
  t.is(world.master.last('early')?.state, 'TASK_KILLED');
});

test('a repeated launch starts nothing and is answered again', async (t) => {
  const world = new AgentWorld();
  await world.up();
  const { info } = world.master.place('a', { argv: program({ runMs: 1_000 }) });
  for (let again = 0; again < 5; again++) world.master.command({ type: 'RUN', tasks: [{ framework: 'batch', info }] });
  await world.until(() => world.master.ended('a'));
  await world.clock.advance(60_000);
  const answered = () => world.master.of('ACCEPTED').flatMap(({ tasks }) => tasks).length;
  const before = answered();
  world.master.command({
    type: 'RUN',
    tasks: [
      { framework: 'batch', info },
      { framework: 'batch', info },
    ],
  });
  await world.clock.advance(60_000);
  t.deepEqual([...world.made.keys()], ['batch/a.0/0']);
  t.deepEqual(world.master.states('a'), ['TASK_RUNNING', 'TASK_FINISHED']);
  // No report says it any more: the answer is a word of its own.
  t.true(answered() > before);
});

test('restarts: on-failure until it succeeds, always until killed, with growing pauses and numbers of their own', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('service', { argv: program({ code: 1, runMs: 10 }), restart: 'always' });
  world.master.place('fails', { argv: program({ code: 7, runMs: 10 }), restart: 'on-failure' });
  world.master.place('works', { argv: program({ code: 0, runMs: 10 }), restart: 'on-failure' });
  await world.until(() => world.master.ended('works'));
  t.deepEqual(world.master.states('works'), ['TASK_RUNNING', 'TASK_FINISHED']);
  const begun = world.clock.monotonic();
  await world.until(() => world.master.states('service').filter((state) => state === 'TASK_RUNNING').length >= 6);
  t.true(world.clock.monotonic() - begun >= 1_000 + 2_000 + 4_000 + 8_000 + 16_000 - 100);
  t.is(world.master.last('service')?.restart, 5);
  const pause = world.master.placed.get('service.0')?.updates[1];
  t.like(pause, { state: 'TASK_STARTING', exitCode: 1, message: 'exited with 1; restart 1 in 1 s' });
  world.master.kill('service');
  world.master.kill('fails');
  await world.until(() => world.master.ended('service') && world.master.ended('fails'));
  t.is(world.master.last('service')?.state, 'TASK_KILLED');
  const starts = world.made.size;
  await world.clock.advance(3_600_000);
  t.is(world.made.size, starts);
});

test('an agent that is killed finds its tasks again: exit codes, running ones, and no start twice', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('ends', { argv: program({ runMs: 5_000, code: 4 }) });
  world.master.place('stays', { argv: program({ runMs: 60_000 }) });
  await world.until(() => world.master.states('ends').length === 1 && world.master.states('stays').length === 1);
  world.kill();
  await world.clock.advance(10_000);
  await world.start();
  await world.until(() => world.master.ended('ends') && world.master.ended('stays'));
  t.like(world.master.last('ends'), { state: 'TASK_FAILED', exitCode: 4 });
  t.deepEqual(world.master.states('stays'), ['TASK_RUNNING', 'TASK_FINISHED']);
  t.is(world.made.size, 2);
  t.is(world.master.of('REGISTER').length, 1, 'the same boot resumes');
  t.true(world.master.of('RESUME').length > 0);
});

test('after a reboot, without a master: never has failed for no fault of its own, the others start again', async (t) => {
  const world = new AgentWorld();
  await world.up();
  for (const restart of ['never', 'on-failure', 'always'] as const)
    world.master.place(restart, { argv: program({ stays: true }), restart });
  await world.until(() => ['never', 'on-failure', 'always'].every((task) => world.master.states(task).length === 1));
  await world.clock.advance(1_000);
  const { epoch } = world.master;
  world.network.broker(URL).stop();
  world.cutPower();
  await world.start();
  await world.clock.advance(60_000);
  t.is(world.machine.processes('batch/never.0/0'), 0);
  t.is(world.machine.processes('batch/on-failure.0/1'), 1);
  t.is(world.machine.processes('batch/always.0/1'), 1);
  world.network.broker(URL).start();
  await world.until(() => world.master.ended('never') && world.master.last('always')?.restart === 1);
  await world.clock.advance(1_000);
  t.like(world.master.last('never'), { state: 'TASK_FAILED', reason: 'AGENT_REBOOTED' });
  t.deepEqual(world.master.states('always'), ['TASK_RUNNING', 'TASK_STARTING', 'TASK_RUNNING']);
  t.true(world.master.epoch > epoch, 'a rebooted machine registers anew');
});

test('commands of an older leader, another epoch or another cluster do nothing', async (t) => {
  const world = new AgentWorld();
  const { master } = world;
  master.term = 5;
  await world.up();
  const run = (task: string, fence: Record<string, unknown>) => {
    const info = { task, attempt: 0, resources: [], argv: program(), restart: 'never', killGraceMs: 1 };
    master.command({ type: 'RUN', tasks: [{ framework: 'batch', info }], ...fence });
  };
  run('term', { term: 4 });
  run('generation', { term: 9, generation: -1 });
  run('epoch', { epoch: master.epoch - 1 });
  run('future-epoch', { epoch: master.epoch + 1 });
  run('cluster', { cluster: 'cluster-2', term: 9 });
  await world.clock.advance(10_000);
  t.is(world.made.size, 0);
  run('newer', { term: 6 });
  await world.clock.advance(1_000);
  run('older', { term: 5 });
  await world.clock.advance(1_000);
  t.deepEqual([...world.made.keys()], ['batch/newer.0/0']);
  world.kill();
  await world.start();
  await world.clock.advance(10_000);
  run('persisted', { term: 5 });
  await world.clock.advance(10_000);
  t.is(world.made.size, 1);
});

test('a master that knows no leader for long is left for another: it may be cut off', async (t) => {
  const urls = ['mqtt://m1:1883', 'mqtt://m2:1883'];
  const world = new AgentWorld(8, urls);
  const masters = [world.master, world.masterAt('mqtt://m2:1883')];
  await world.start();
  await world.until(() => masters.some(({ epoch }) => epoch > 0));
  await world.clock.advance(100);
  const [first, second] = masters.sort((a, b) => b.epoch - a.epoch);
  if (first === undefined || second === undefined) return t.fail();
  second.epoch = first.epoch;
  second.term = 2;
  second.lead(null);
  first.lead(null);
  // Nobody leads: it goes from one to the other, ever more slowly.
  const visits = () => masters.reduce((sum, { presence }) => sum + presence.filter(({ online }) => online).length, 0);
  await world.until(() => visits() >= 4, 60_000);
  const before = visits();
  await world.clock.advance(3_600_000);
  t.true(visits() - before < 60, `${visits() - before} visits in an hour`);
  second.lead('m2');
  await world.until(() => second.of('RESUME').length > 0, 600_000);
  return t.is(first.of('RESUME').length, 0);
});

test('a follower that is taken for the leader, under a name that nobody advertises, is left for another', async (t) => {
  const urls = ['mqtt://tunnel-1:1883', 'mqtt://tunnel-2:1883'];
  for (let seed = 1; seed <= 4; seed++) {
    const world = new AgentWorld(seed, urls);
    const masters = [world.master, world.masterAt('mqtt://tunnel-2:1883')];
    for (const master of masters) master.answering = false;
    await world.clock.advance(100);
    for (const master of masters) master.lead('m2', ['mqtt://10.0.0.2:1883']);
    await world.start();
    await world.until(() => masters.every(({ presence }) => presence.some(({ online }) => online)), 300_000);
    const [, leader] = masters;
    if (leader === undefined) return t.fail();
    leader.answering = true;
    await world.until(() => leader.epoch > 0, 600_000);
    const before = leader.presence.length;
    await world.clock.advance(600_000);
    t.is(leader.presence.length, before, 'it stays where it is answered');
  }
  return t.pass();
});

test('whatever comes down the link, the agent goes on', async (t) => {
  const world = new AgentWorld(7);
  await world.up();
  for (let round = 0; round < 500; round++) world.master.raw(world.random.bytes(1 + world.random.below(200)));
  const types = ['REGISTERED', 'RESUMED', 'REFUSED', 'RUN', 'KILL', 'ACKNOWLEDGE', 'RECONCILE', 'READ', 'SHUTDOWN'];
  for (const type of types) {
    world.master.command({ type, tasks: 7, updates: {}, fault: [], agent: '\0', request: '', from: 'x' });
    world.master.raw(new TextEncoder().encode(`{"v":1,"type":"${type}"}`));
  }
  world.master.command({ type: 'ACKNOWLEDGE', updates: ['nobody'] });
  await world.clock.advance(1_000);
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'), 60_000);
  t.deepEqual(world.faults, []);
});

test('a full disk: launches are refused, what runs goes on and is told, and room mends everything', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('runs', { argv: program({ runMs: 30_000 }) });
  world.master.place('service', { argv: program({ runMs: 10_000 }), restart: 'always' });
  await world.until(() => world.master.states('runs').length === 1 && world.master.states('service').length === 1);
  const used = world.disk.paths().reduce((sum, path) => sum + (world.disk.peek(path)?.length ?? 0), 0);
  world.disk.capacity = 0;
  // A journal is filled with zeros ahead: it takes a while until the disk is needed.
  let refused = false;
  for (let task = 0; !refused && task < 4_000; task++) {
    const placed = world.master.place(`full-${task}`, { argv: [...program(), 'x'.repeat(2_000)].reverse() });
    await world.until(() => placed.answered || placed.refused !== undefined, 60_000);
    refused = placed.refused !== undefined;
    if (refused) t.is(placed.refused?.code, 'DISK');
  }
  t.true(refused);
  await world.until(() => world.master.ended('runs'), 120_000);
  t.is(world.master.last('runs')?.state, 'TASK_FINISHED');
  await world.clock.advance(120_000);
  t.deepEqual(world.faults, [], 'the agent goes on');
  world.disk.capacity = used * 100 + 10_000_000;
  await world.clock.advance(60_000);
  world.master.place('after', { argv: program() });
  await world.until(() => world.master.ended('after'), 60_000);
  const { restart = 0 } = world.master.last('service') ?? {};
  await world.until(() => (world.master.last('service')?.restart ?? 0) > restart, 600_000);
  world.kill();
  await world.start();
  await world.clock.advance(10_000);
  t.deepEqual(world.master.states('runs'), ['TASK_RUNNING', 'TASK_FINISHED']);
});

test('a disk that fails otherwise ends the process', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.disk.failingSyncs = 1;
  world.master.place('a', { argv: program() });
  await world.until(() => world.faults.length > 0, 60_000);
  t.is(world.faults[0]?.code, 'DISK');
  t.is(world.made.size, 0);
});

test('refusals: those that a person must mend end a process that never registered, the others are tried again', async (t) => {
  const cloned = new AgentWorld();
  cloned.master.refusal = new Fault('CLONED', 'another machine');
  await cloned.start();
  await cloned.until(() => cloned.faults.length > 0, 60_000);
  t.is(cloned.faults[0]?.message, 'another machine');

  const world = new AgentWorld();
  world.master.refusal = new Fault('LIMIT', 'too many');
  await world.start();
  await world.clock.advance(300_000);
  t.true(world.master.of('REGISTER').length > 3);
  t.true(world.master.of('REGISTER').length < 20);
  world.master.refusal = undefined;
  await world.until(() => world.master.epoch > 0, 120_000);
  t.deepEqual(world.faults, []);
});

test('a copied data folder starts nothing on another machine, also before a master was seen', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('service', { argv: program({ stays: true }), restart: 'always' });
  await world.until(() => world.started.length === 1);
  world.cutPower();
  world.identity = { machine: 'machine-2', serial: 'serial-1' };
  const refused = await world.start();
  t.true(refused instanceof Fault && refused.code === 'CLONED');
  await world.clock.advance(60_000);
  t.is(world.started.length, 1);
  // A serial number that cannot be read for once is no other one.
  world.identity = { machine: 'machine-1', serial: '' };
  await world.start();
  await world.until(() => world.started.length === 2);
  world.kill();
  world.identity = { machine: 'machine-1', serial: 'serial-2' };
  t.true((await world.start()) instanceof Fault);
});

test('a shutdown kills everything, then the agent', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('a', { argv: program({ stays: true }) });
  await world.until(() => world.master.states('a').length > 0);
  world.master.command({ type: 'SHUTDOWN', fault: new Fault('GONE') });
  await world.until(() => world.faults.length > 0, 10_000);
  t.is(world.faults[0]?.code, 'GONE');
  t.is(world.machine.processes('batch/a.0/0'), 0);
});

test('a polite stop leaves tasks running and says goodbye', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.master.place('a', { argv: program({ runMs: 60_000 }) });
  await world.until(() => world.master.states('a').length > 0);
  const stopped = world.agent?.stop();
  let done = false;
  void stopped?.then(() => {
    done = true;
  });
  await world.until(() => done, 10_000);
  await world.clock.advance(1_000);
  t.is(world.machine.processes('batch/a.0/0'), 1);
  t.is(world.master.presence.at(-1)?.online, false);
  t.is(world.clock.timers, 2, 'of the master and of the task, none of the agent');
});

test('an end is told without what no master would take beside it', async (t) => {
  const world = new AgentWorld(3);
  await world.up();
  world.outputSizes.set('batch/a.0/0', 2 ** 60);
  world.master.place('a', { argv: program({ code: 3 }) });
  await world.until(() => world.master.ended('a'));
  t.like(world.master.last('a'), { state: 'TASK_FAILED', exitCode: 3, output: undefined });
  await world.clock.advance(60_000);
  t.is(world.master.states('a').length, 2);
});

test('output is read within its grant, to its end', async (t) => {
  const world = new AgentWorld();
  await world.up();
  world.outputs.set('batch/a.0/0', 'x'.repeat(100_000));
  world.master.place('a', { argv: program({ runMs: 60_000 }) });
  await world.until(() => world.master.states('a').length > 0);
  const grant = { client: 'ann', session: 's1', framework: 'batch', task: 'a', attempt: 0, stream: 'stdout' };
  const ask = (from: number, until: number, follow: boolean) =>
    world.master.command({ type: 'READ', request: 'r1', ...grant, from, until, follow });
  ask(0, 50_000, true);
  await world.clock.advance(1_000);
  // Pieces may come twice, and are as long as the link lets them.
  const received = () =>
    [...new Map(world.master.chunks.map(({ offset, data }) => [offset, data.length])).values()].reduce(
      (a, b) => a + b,
      0,
    );
  t.is(received(), 50_000);
  t.false(world.master.chunks.some(({ end }) => end));
  ask(50_000, 1_000_000, true);
  await world.clock.advance(1_000);
  t.false(world.master.chunks.some(({ end }) => end));
  await world.until(() => world.master.ended('a'));
  await world.clock.advance(1_000);
  t.like(world.master.chunks.at(-1), { offset: 100_000, end: true });
  world.master.chunks.length = 0;
  ask(-10, 1_000_000, false);
  await world.clock.advance(1_000);
  t.like(world.master.chunks[0], { offset: 99_990, end: true });
  world.master.command({ type: 'READ', request: 'r2', ...grant, task: 'b', from: 0, until: 10, follow: false });
  await world.clock.advance(1_000);
  t.is(world.master.chunks.at(-1)?.fault?.code, 'NOT_FOUND');
});

test('an agent connected to a master that knows no leader asks another one after a while', async (t) => {
  const world = new AgentWorld(1, [URL, 'mqtt://m2:1883']);
  const other = world.masterAt('mqtt://m2:1883', 'cluster-1');
  other.term = 2;
  await world.clock.advance(100);
  // Both are cut off from each other; whichever the agent came to first, the second one is the leader.
  world.master.lead(null);
  other.lead(null);
  await world.start();
  await world.clock.advance(1_000);
  t.deepEqual([world.master.heard, other.heard], [[], []]);
  const at = (url: string): boolean =>
    world.network
      .broker(url)
      .clients()
      .some((client) => client.startsWith('pi-1~'));
  const second = at(URL) ? other : world.master;
  second.lead('m');
  await world.until(() => second.epoch > 0, 60_000);
  t.true(second.heard.some(({ type }) => type === 'REGISTER'));
});

test('while no master knows a leader, an agent goes from one to the next ever more slowly', async (t) => {
  const urls = [URL, 'mqtt://m2:1883', 'mqtt://m3:1883'];
  const world = new AgentWorld(1, urls);
  const masters = [world.master, ...urls.slice(1).map((url) => world.masterAt(url, 'cluster-1'))];
  await world.clock.advance(100);
  for (const master of masters) master.lead(null);
  await world.start();
  await world.clock.advance(600_000);
  const came = masters.flatMap(({ presence }) => presence.filter(({ online }) => online)).length;
  t.true(came >= 4, `${came} connections`);
  t.true(came <= 24, `${came} connections`);
});
