import test from 'ava';
import type { Fault } from '../../protocol/faults.ts';
import type { Offer } from '../../protocol/offer.ts';
import type { OperationStatus } from '../../protocol/operations.ts';
import { formatResources } from '../../protocol/resources.ts';
import type { InverseOffer, StatusEvent } from '../../protocol/scheduler.ts';
import type { Scheduler } from '../../sdk/scheduler.ts';
import { createSchedulerDriver } from '../../sdk/scheduler-driver.ts';
import type { SchedulerDriverOptions } from '../../sdk/scheduler-driver-options.ts';
import { TestMaster, type TestMasterOptions } from '../../sdk/test-master.ts';
import { connectSimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SeededRandom } from '../sim/random.ts';

function world(
  seed: number,
  options: Partial<SchedulerDriverOptions> = {},
  master: Partial<TestMasterOptions> = {},
  callbacks: Partial<Scheduler> = {},
) {
  const clock = new VirtualClock();
  const random = new SeededRandom(seed);
  const network = new SimulatedNetwork({ clock, random });
  const bus = (clientId: string) => connectSimulatedBus(network, { clientId, urls: ['mqtt://broker'] });
  const heard: string[] = [];
  const offers: Offer[] = [];
  const statuses: StatusEvent[] = [];
  const faults: Fault[] = [];
  const scheduler: Scheduler = {
    registered: () => heard.push('registered'),
    reregistered: () => heard.push('reregistered'),
    disconnected: () => heard.push('disconnected'),
    resourceOffers: (_driver, some) => offers.push(...some),
    offerRescinded: (_driver, offer) => heard.push(`rescinded ${offer}`),
    statusUpdate: (_driver, status) => statuses.push(status),
    error: (_driver, fault) => faults.push(fault),
    ...callbacks,
  };
  const testMaster = new TestMaster({ bus: bus('master'), clock, random, ...master });
  const driver = createSchedulerDriver({
    bus: bus('fw'),
    name: 'fw',
    roles: ['r'],
    scheduler,
    clock,
    random,
    ...options,
  });
  return { clock, network, driver, master: testMaster, heard, offers, statuses, faults };
}

const TASK = { argv: ['/bin/true'], resources: [{ name: 'cpus', scalar: 1_000 }] };

test('it registers once a master listens, and again after a break and with a new leader', async (t) => {
  const { driver, master, clock, network, heard } = world(1);
  t.is(driver.status, 'DRIVER_NOT_STARTED');
  t.is(driver.start(), 'DRIVER_RUNNING');
  await clock.advance(20_000);
  t.deepEqual(heard, []);
  void master.start();
  await clock.until(() => heard.length === 1);
  network.cut('fw');
  await clock.until(() => heard.length === 3);
  await clock.advance(60_000);
  master.failOver();
  await clock.advance(60_000);
  t.deepEqual(heard, ['registered', 'disconnected', 'reregistered', 'disconnected', 'reregistered']);
  t.is(driver.stop(), 'DRIVER_STOPPED');
  t.is(driver.killTask('x'), 'DRIVER_STOPPED');
});

test('an update is acknowledged after its callback, or when the scheduler says so', async (t) => {
  for (const explicitAcknowledgements of [false, true]) {
    const { driver, master, clock, offers, statuses } = world(
      2,
      { explicitAcknowledgements },
      { onLaunch: (task) => task.update('TASK_RUNNING') },
    );
    void master.start();
    master.addAgent({ name: 'a1', resources: 'cpus:1' });
    driver.start();
    await clock.until(() => offers.length === 1);
    driver.launchTasks([offers[0]?.offer ?? ''], [{ ...TASK, task: 't', attempt: 0 }]);
    await clock.until(() => statuses.length === 1);
    await clock.advance(1_000);
    master.repeatUpdates();
    await clock.advance(1_000);
    t.is(statuses.length, explicitAcknowledgements ? 2 : 1);
    t.is(new Set(statuses.map(({ uuid }) => uuid)).size, 1);
    for (const status of statuses) driver.acknowledgeStatusUpdate(status);
    await clock.advance(1_000);
    master.repeatUpdates();
    await clock.advance(1_000);
    t.is(statuses.length, explicitAcknowledgements ? 2 : 1);
  }
});

test('declines of one agent back off, until an offer is taken or revived', async (t) => {
  const { driver, master, clock, offers } = world(3);
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:1' });
  driver.start();
  const nextOffer = async (): Promise<number> => {
    const seen = offers.length;
    const began = clock.monotonic();
    await clock.until(() => offers.length > seen);
    return Math.floor((clock.monotonic() - began) / 1_000);
  };
  const decline = () => driver.declineOffer(offers.at(-1)?.offer ?? '');
  await nextOffer();
  const pauses: number[] = [];
  for (let round = 0; round < 4; round++) {
    decline();
    pauses.push(await nextOffer());
  }
  t.deepEqual(pauses, [5, 10, 20, 40]);
  decline();
  driver.reviveOffers();
  t.is(await nextOffer(), 0);
  decline();
  t.is(await nextOffer(), 5);
});

test('tasks launched while no master listens come back as dropped', async (t) => {
  const { driver, clock, statuses } = world(4);
  driver.start();
  driver.launchTasks(['o'], [{ ...TASK, task: 't', attempt: 7 }]);
  await clock.until(() => statuses.length === 1);
  t.like(statuses[0], { task: 't', attempt: 7, state: 'TASK_DROPPED', reason: 'INVALID_OFFERS', acknowledge: false });
});

test('an accept is cut to one message, and what does not fit comes back', async (t) => {
  const { driver, master, clock, offers, statuses, faults } = world(
    5,
    {},
    { onLaunch: (task) => task.update('TASK_RUNNING') },
  );
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:1000' });
  driver.start();
  await clock.until(() => offers.length === 1);
  const argv = ['x'.repeat(10_000)];
  const tasks = Array.from({ length: 6 }, (_, at) => ({ ...TASK, argv, task: `t${at}`, attempt: 0 }));
  driver.launchTasks([offers[0]?.offer ?? ''], tasks);
  await clock.until(() => statuses.length === 6);
  t.deepEqual(statuses.map(({ task, state }) => `${task} ${state}`).sort(), [
    't0 TASK_RUNNING',
    't1 TASK_RUNNING',
    't2 TASK_RUNNING',
    't3 TASK_RUNNING',
    't4 TASK_DROPPED',
    't5 TASK_DROPPED',
  ]);
  t.deepEqual(faults, []);
});

test('the store compares and sets, and answers across a failover', async (t) => {
  const { driver, master, clock } = world(6);
  driver.start();
  const writing = driver.store('a/1', 'one', 0);
  await clock.advance(1_000);
  void master.start();
  await clock.advance(30_000);
  t.is(await writing, 1);
  const outcomes = Promise.all([
    driver.store('a/1', 'two', 1),
    driver.store('a/1', 'three', 1),
    driver.store('b/1', 'x', 0),
  ]);
  master.failOver();
  await clock.advance(30_000);
  const [two, three] = await outcomes;
  t.true(typeof two === 'number');
  t.like(three, { code: 'CONFLICT' });
  const loading = driver.load('a/');
  await clock.advance(1_000);
  t.like(await loading, [{ key: 'a/1', value: 'two' }]);
  const never = driver.load('a/');
  driver.stop();
  t.like(await never, { code: 'TIMED_OUT' });
});

test('a callback that throws costs only what it was about: that status comes again, its offers are declined', async (t) => {
  const failures: string[] = [];
  let angry = true;
  const taken: string[] = [];
  const scheduler: Scheduler = {
    registered: () => {
      throw new Error('registered');
    },
    reregistered: () => {},
    resourceOffers: (driver, offers) => {
      if (failures.includes('resourceOffers')) {
        const tasks = ['t1', 't2', 't3'].map((task) => ({ ...TASK, task, attempt: 0 }));
        const [offer] = offers;
        if (offer !== undefined && taken.length === 0) driver.launchTasks([offer.offer], tasks);
      } else throw new Error('offers');
    },
    statusUpdate: (_driver, { task }) => {
      taken.push(task);
      if (task === 't1' && angry) throw new Error('a bug');
    },
  };
  const { driver, master, clock } = world(8, {
    scheduler,
    onCallbackFailed: (callback) => failures.push(callback),
  });
  master.addAgent({ name: 'a1', resources: 'cpus:8' });
  void master.start();
  driver.start();
  await clock.until(() => taken.includes('t3'));
  t.true(taken.includes('t2') && taken.includes('t3'));
  t.deepEqual(failures.slice(0, 2), ['registered', 'resourceOffers']);
  await clock.advance(60_000);
  const before = taken.length;
  master.repeatUpdates();
  await clock.advance(60_000);
  t.deepEqual([...new Set(taken.slice(before))], ['t1'], 'it alone comes again');
  angry = false;
  master.repeatUpdates();
  await clock.advance(60_000);
  const done = taken.length;
  master.repeatUpdates();
  await clock.advance(60_000);
  t.is(taken.length, done);
});

test('without a listener, what a callback throws ends the process', async (t) => {
  const scheduler: Scheduler = {
    registered: () => {
      throw new Error('a bug in registered');
    },
    reregistered: () => {},
    resourceOffers: () => {},
    statusUpdate: () => {},
  };
  const { driver, master, clock } = world(9, { scheduler });
  void master.start();
  driver.start();
  // On virtual time, a timer that throws ends the wait for it.
  await t.throwsAsync(clock.advance(10_000), { message: 'a bug in registered' });
});

test('a role without work is suppressed, and revived when there is some', async (t) => {
  let work = false;
  const offered: string[] = [];
  const scheduler: Scheduler = {
    registered: () => {},
    reregistered: () => {},
    resourceOffers: (_driver, offers) => offered.push(...offers.map(({ offer }) => offer)),
    statusUpdate: () => {},
    wantsOffers: () => work,
  };
  const { driver, master, clock } = world(10, { scheduler });
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:1' });
  driver.start();
  await clock.advance(20_000);
  t.deepEqual(master.rolesOf('fw').suppressed, ['r'], 'it subscribed so');
  t.deepEqual(offered, []);
  work = true;
  t.is(driver.workChanged(), 'DRIVER_RUNNING');
  await clock.until(() => offered.length === 1);
  t.deepEqual(master.rolesOf('fw').suppressed, []);
  driver.declineOffer(offered[0] ?? '');
  work = false;
  await clock.advance(10_000);
  t.is(offered.length, 1, 'an offer that comes when there is no work is declined by itself');
  await clock.advance(60_000);
  t.deepEqual(master.rolesOf('fw').suppressed, ['r']);
  t.is(master.offers.size, 0);
});

test('an aborted driver calls nothing back; both ends are told to whoever joins', async (t) => {
  for (const end of ['DRIVER_ABORTED', 'DRIVER_STOPPED'] as const) {
    const ends: string[] = [];
    const { driver, master, clock, offers, statuses } = world(11, { onEnded: () => void ends.push('bus closed') });
    t.is(await driver.join(), 'DRIVER_NOT_STARTED');
    t.is(driver.abort(), 'DRIVER_NOT_STARTED');
    void master.start();
    master.addAgent({ name: 'a1', resources: 'cpus:1' });
    void driver.run().then((status) => ends.push(status));
    await clock.until(() => offers.length === 1);
    driver.launchTasks([offers[0]?.offer ?? ''], [{ ...TASK, task: 't', attempt: 0 }]);
    t.is(end === 'DRIVER_ABORTED' ? driver.abort() : driver.stop(false), end);
    t.is(driver.stop(), end);
    t.is(driver.reviveOffers(), end);
    await clock.advance(60_000);
    t.deepEqual(ends, ['bus closed', end]);
    t.deepEqual(statuses, []);
    t.deepEqual(master.rolesOf('fw').roles, end === 'DRIVER_ABORTED' ? ['r'] : []);
  }
});

test('stop(false) asks until the framework is removed, through a break and by another leader', async (t) => {
  const ends: string[] = [];
  const { driver, master, clock, network, offers, statuses } = world(14, {
    onEnded: () => void ends.push('bus closed'),
  });
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:1' });
  void driver.run().then((status) => ends.push(status));
  await clock.until(() => offers.length === 1);
  network.cut('fw');
  master.failOver();
  t.is(driver.stop(false), 'DRIVER_STOPPED');
  await clock.advance(0);
  t.deepEqual(ends, [], 'nobody has heard of it yet');
  await clock.until(() => ends.length === 2);
  t.deepEqual(ends, ['bus closed', 'DRIVER_STOPPED']);
  t.deepEqual(master.rolesOf('fw').roles, []);
  await clock.advance(60_000);
  t.deepEqual(master.rolesOf('fw').roles, [], 'it does not subscribe again');
  t.deepEqual(statuses, []);
});

test('stop(false) gives up aloud where nobody answers', async (t) => {
  const errors: string[] = [];
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: (event: string) => errors.push(event) };
  const { driver, clock } = world(15, { log });
  let end = '';
  void driver.run().then((status) => {
    end = status;
  });
  await clock.advance(1_000);
  driver.stop(false);
  await clock.until(() => end === 'DRIVER_STOPPED');
  t.deepEqual(errors, ['teardown-unanswered']);
});

test('the loss of an agent is told, beside the statuses of its tasks', async (t) => {
  for (const [state, told] of [
    ['unreachable', 'TASK_UNREACHABLE'],
    ['gone', 'TASK_GONE_BY_OPERATOR'],
  ] as const) {
    const lost: string[] = [];
    const { driver, master, clock, offers, statuses, heard } = world(
      12,
      {
        scheduler: {
          registered: () => {},
          reregistered: () => {},
          resourceOffers: (_driver, some) => offers.push(...some),
          offerRescinded: (_driver, offer) => heard.push(offer),
          statusUpdate: (_driver, status) => statuses.push(status),
          agentLost: (_driver, agent, how) => lost.push(`${agent} ${how}`),
        },
      },
      { onLaunch: (task) => task.update('TASK_RUNNING') },
    );
    void master.start();
    master.addAgent({ name: 'a1', resources: 'cpus:2' });
    driver.start();
    await clock.until(() => offers.length === 1);
    driver.launchTasks([offers[0]?.offer ?? ''], [{ ...TASK, task: 't', attempt: 0 }], { refuseMs: 0 });
    await clock.until(() => offers.length === 2);
    master.loseAgent('a1', state);
    await clock.advance(60_000);
    t.deepEqual(lost, [`a1 ${state}`]);
    t.deepEqual(heard, [offers[1]?.offer]);
    t.deepEqual([...new Set(statuses.map((status) => status.state))], ['TASK_RUNNING', told]);
    t.is(offers.length, 2);
  }
});

test('an executor is spoken with, and its end is told', async (t) => {
  const said: string[] = [];
  const { driver, master, clock, offers, statuses } = world(
    13,
    {
      scheduler: {
        registered: () => {},
        reregistered: () => {},
        resourceOffers: (_driver, some) => offers.push(...some),
        statusUpdate: (_driver, status) => statuses.push(status),
        frameworkMessage: (_driver, executor, agent, data) => said.push(`${executor} on ${agent}: ${data}`),
        executorLost: (_driver, executor, agent, status) => said.push(`${executor} on ${agent} ended: ${status}`),
      },
    },
    { onLaunch: (task) => task.update('TASK_RUNNING'), onMessage: (data) => data.toUpperCase() },
  );
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:2' });
  driver.start();
  await clock.until(() => offers.length === 1);
  const executor = { executor: 'e', argv: ['/bin/e'] };
  const { resources } = TASK;
  driver.launchTasks([offers[0]?.offer ?? ''], [{ task: 't', attempt: 0, resources, executor }]);
  t.is(driver.sendFrameworkMessage('e', 'a1', 'hello'), 'DRIVER_RUNNING');
  await clock.until(() => said.length === 1 && statuses.length === 1);
  t.is(driver.shutdownExecutor('e', 'a1'), 'DRIVER_RUNNING');
  await clock.advance(10_000);
  t.deepEqual(said, ['e on a1: HELLO', 'e on a1 ended: 0']);
  t.deepEqual([...new Set(statuses.map(({ state }) => state))], ['TASK_RUNNING', 'TASK_FAILED']);
});

test('operations are carried out in order before the tasks behind them, and acknowledged after their callback', async (t) => {
  const operations: OperationStatus[] = [];
  const { driver, master, clock, network, heard, offers, statuses } = world(
    31,
    {},
    {},
    {
      operationStatusUpdate: (_driver, status) => operations.push(status),
    },
  );
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:2;disk:100' });
  driver.start();
  await clock.until(() => offers.length === 1);
  driver.acceptOffers(
    [offers[0]?.offer ?? ''],
    [
      { type: 'RESERVE', id: 'r', resources: 'cpus(r):1;disk(r):50' },
      { type: 'CREATE', id: 'c', resources: 'disk(r)[data]:50' },
      { type: 'DESTROY', id: 'd', resources: 'disk(r)[other]:50' },
      { type: 'LAUNCH', tasks: [{ ...TASK, task: 't', attempt: 0, resources: 'cpus(r):1;disk(r)[data]:50' }] },
    ],
  );
  await clock.until(() => statuses.some(({ state }) => state === 'TASK_FINISHED'));
  const told = (): string[] => operations.map(({ operation, state }) => `${operation} ${state}`);
  t.deepEqual(told(), ['r OPERATION_FINISHED', 'c OPERATION_FINISHED', 'd OPERATION_ERROR']);
  await clock.advance(1_000);
  master.repeatUpdates();
  await clock.advance(1_000);
  t.is(operations.length, 3, 'acknowledged');
  t.is(formatResources(master.free('a1')).includes('disk(r)[data]:50') || offers.length > 1, true);
  driver.reconcileOperations([{ operation: 'c' }]);
  await clock.until(() => operations.length === 4);
  t.is(told().at(-1), 'c OPERATION_UNKNOWN');
  network.cut('fw');
  await clock.until(() => heard.includes('disconnected'));
  driver.acceptOffers(['x'], [{ type: 'UNRESERVE', id: 'u', resources: 'cpus(r):1' }]);
  await clock.until(() => operations.length === 5);
  t.is(told().at(-1), 'u OPERATION_DROPPED');
});

test('an inverse offer is answered', async (t) => {
  const asked: InverseOffer[] = [];
  const { driver, master, clock, offers } = world(
    32,
    {},
    { onLaunch: (task) => task.update('TASK_RUNNING') },
    {
      inverseOffers: (_driver, some) => asked.push(...some),
    },
  );
  void master.start();
  master.addAgent({ name: 'a1', resources: 'cpus:1' });
  driver.start();
  await clock.until(() => offers.length === 1);
  driver.launchTasks([offers[0]?.offer ?? ''], [{ ...TASK, task: 't', attempt: 0 }]);
  await clock.advance(1_000);
  master.askToLeave('a1', 60_000);
  await clock.until(() => asked.length === 1);
  const [{ offer } = { offer: '' }] = asked;
  driver.declineInverseOffers([offer]);
  await clock.until(() => master.inverseOffers.get(offer) === 'declined');
  driver.acceptInverseOffers([offer]);
  await clock.until(() => master.inverseOffers.get(offer) === 'accepted');
  t.is(asked[0]?.unavailability.startMs, 60_000);
});

test('it follows the leader to another broker, among those it was given', async (t) => {
  const clock = new VirtualClock();
  const random = new SeededRandom(33);
  const network = new SimulatedNetwork({ clock, random });
  const urls = ['mqtt://one', 'mqtt://two'];
  const heard: string[] = [];
  const scheduler: Scheduler = {
    registered: () => heard.push('registered'),
    reregistered: () => heard.push('reregistered'),
    resourceOffers: () => {},
    statusUpdate: () => {},
  };
  const first = new TestMaster({
    bus: connectSimulatedBus(network, { clientId: 'm1', urls: ['mqtt://one'] }),
    clock,
    random,
  });
  const second = new TestMaster({
    bus: connectSimulatedBus(network, { clientId: 'm2', urls: ['mqtt://two'] }),
    clock,
    random,
  });
  const bus = connectSimulatedBus(network, { clientId: 'fw', urls });
  const driver = createSchedulerDriver({ bus, urls, name: 'fw', roles: ['r'], scheduler, clock, random });
  void first.start();
  driver.start();
  await clock.until(() => heard.length === 1);
  second.term = 2;
  void second.start();
  await clock.advance(1_000);
  first.leads('m2', 2, ['mqtt://elsewhere', 'mqtt://two']);
  await clock.until(() => heard.length === 2);
  t.deepEqual(heard, ['registered', 'reregistered']);
  t.is(bus.url, 'mqtt://two');
  // Of the leader that the driver knows already, a follower says where it is.
  second.leads('m2', 2, ['mqtt://two']);
  await clock.advance(1_000);
  network.broker('mqtt://two').stop();
  await clock.until(() => bus.url === 'mqtt://one' && bus.connected);
  network.broker('mqtt://two').start();
  await clock.until(() => heard.length === 3);
  t.is(bus.url, 'mqtt://two');
  // A master that is cut off from the others knows no leader, or the one before.
  for (const [leader, term] of [
    [null, 2],
    ['m1', 1],
  ] as const) {
    first.leads(leader, term, ['mqtt://one']);
    await clock.advance(1_000);
    const before = heard.length;
    bus.moveTo('mqtt://one');
    await clock.until(() => heard.length > before && bus.url === 'mqtt://two', 10_000);
  }
  driver.stop();
});

test('a scheduler whose master answers nothing asks another one after a while', async (t) => {
  const clock = new VirtualClock();
  const random = new SeededRandom(34);
  const network = new SimulatedNetwork({ clock, random });
  const urls = ['mqtt://one', 'mqtt://two'];
  let registered = 0;
  const scheduler: Scheduler = {
    registered: () => void registered++,
    reregistered: () => {},
    resourceOffers: () => {},
    statusUpdate: () => {},
  };
  const bus = connectSimulatedBus(network, { clientId: 'fw', urls });
  const driver = createSchedulerDriver({ bus, urls, name: 'fw', roles: ['r'], scheduler, clock, random });
  driver.start();
  await clock.until(() => bus.connected);
  const other = urls.find((url) => url !== bus.url) ?? '';
  const master = new TestMaster({ bus: connectSimulatedBus(network, { clientId: 'm', urls: [other] }), clock, random });
  void master.start();
  await clock.until(() => registered === 1);
  t.is(bus.url, other);
  driver.stop();
});

test('it moves over the time that a new leader names, though never for long', async (t) => {
  const waits: number[] = [];
  for (let seed = 1; seed <= 12; seed++) {
    const clock = new VirtualClock();
    const random = new SeededRandom(seed);
    const network = new SimulatedNetwork({ clock, random });
    const urls = ['mqtt://one', 'mqtt://two'];
    const broker = connectSimulatedBus(network, { clientId: 'm1', urls: ['mqtt://one'] });
    const scheduler: Scheduler = {
      registered: () => {},
      reregistered: () => {},
      resourceOffers: () => {},
      statusUpdate: () => {},
    };
    const bus = connectSimulatedBus(network, { clientId: 'fw', urls });
    if (bus.url !== 'mqtt://one') bus.moveTo('mqtt://one');
    const driver = createSchedulerDriver({ bus, urls, name: 'fw', roles: ['r'], scheduler, clock, random });
    const lead = (term: number, leader: string | null, at: string[]): void => {
      const document = { v: 1, cluster: 'c', generation: 1, term, leader, urls: at, spreadMs: 60_000 };
      void broker.publish('mesq/leader', new TextEncoder().encode(JSON.stringify(document)), { qos: 1, retain: true });
    };
    driver.start();
    await clock.until(() => bus.connected && broker.connected);
    lead(1, null, []);
    await clock.advance(1_000);
    const before = clock.monotonic();
    lead(2, 'm2', ['mqtt://two']);
    await clock.until(() => bus.url === 'mqtt://two');
    waits.push(clock.monotonic() - before);
    driver.stop();
  }
  t.true(Math.min(...waits) < 700, waits.join());
  t.true(Math.max(...waits) > 1_300 && Math.max(...waits) < 2_500, waits.join());
});
