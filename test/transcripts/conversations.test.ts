import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { encode } from '../../protocol/envelope.ts';
import { executorTask, scriptedExecutors } from '../agent/scripted-executor.ts';
import {
  greeting,
  MasterWorld,
  ScriptedAgent,
  ScriptedClient,
  ScriptedFramework,
  SimulatedAgent,
  task,
} from '../master/world.ts';
import { resourcesOf } from '../resources-of.ts';
import { Transcript } from './transcript.ts';

/** The compiled test runs in build/; what it compares with is beside its source. */
const FOLDER = join(import.meta.dirname, '../../../test/transcripts');

/**
 * Holds a conversation and compares it with the transcript of that name; with UPDATE_GOLDENS=1 it is written anew, for
 * a person to read the difference.
 */
function conversation(
  name: string,
  hold: (world: MasterWorld, say: Transcript, t: ExecutionContext) => Promise<void>,
): void {
  test(name, async (t) => {
    const world = new MasterWorld({ latencyMs: [1, 1], reorder: false });
    const transcript = new Transcript(world.network, world.random.minted);
    await world.start();
    await hold(world, transcript, t);
    const file = join(FOLDER, `${name}.txt`);
    if (process.env['UPDATE_GOLDENS'] === '1') writeFileSync(file, transcript.toString());
    t.true(existsSync(file), `${name}.txt is missing: run with UPDATE_GOLDENS=1`);
    t.is(transcript.toString(), readFileSync(file, 'utf8'));
  });
}

conversation('registration', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  say.note('the connection breaks: it resumes, and nothing is committed');
  agent.cut();
  await world.clock.advance(5_000);
  say.note('the machine reboots: a new registration, a new epoch');
  agent.reboot();
  await agent.start();
  say.note('another machine with a copy of its data folder');
  const clone = new ScriptedAgent(world, 'pi-1');
  const known = agent.agent?.agent ?? '';
  agent.kill();
  await world.clock.advance(1_000);
  await clone.say(greeting('pi-1', { agent: known, counter: 3, identity: { machine: 'machine-other', serial: '' } }));
  say.note('a new agent, under a name that is taken');
  const second = new ScriptedAgent(world, 'pi-1');
  await second.say(greeting('pi-1', { agent: 'id-other' }));
});

conversation('offer, run, update', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('accepts with one task');
  await framework.launch([task('hello', { runMs: 50 })]);
  say.note('acknowledges what it heard');
  await framework.acknowledgeAll();
});

conversation('decline', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('declines for a minute: nothing until then');
  await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 60_000 });
  await world.clock.advance(58_000);
  say.note('a minute is over');
  await world.clock.advance(4_000);
  say.note('declines again, then revives');
  await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 3_600_000 });
  await framework.call({ type: 'REVIVE' });
});

conversation('rescind', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('the agent is out of contact: its offer is taken back');
  const stale = framework.offers();
  agent.cut();
  await world.clock.advance(5_000);
  say.note('an ACCEPT of the offer that is gone is answered task by task');
  await framework.launch([task('late')], stale);
});

conversation('accept with a stale offer', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  await new SimulatedAgent(world, 'pi-2').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const [one = '', other = ''] = framework.offers();
  await framework.launch([task('first', { stays: true })], [one]);
  say.note('an offer is used twice: the second launch is dropped, the first goes on');
  await framework.launch([task('second')], [one]);
  say.note('the first launch again, on the spent offer: it is answered with what became of it');
  await framework.launch([task('first', { stays: true })], [one]);
  say.note('a good offer beside one that is gone: both are spent, and the good one returns');
  await framework.call({
    type: 'ACCEPT',
    offers: [one, other],
    operations: [{ type: 'LAUNCH', tasks: [task('third')] }],
    refuseMs: 0,
  });
  say.note('the offer of somebody else');
  const stranger = new ScriptedFramework(world, 'stranger');
  await stranger.subscribe();
  await stranger.launch([task('theft')], framework.offers().slice(-1));
  say.note('an offer that timed out');
  const silent = framework.offers().slice(-1);
  await world.clock.advance(31_000);
  await framework.launch([task('late')], silent);
});

conversation('rescind crossing an accept', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('the agent loses its link at the moment when the scheduler accepts');
  agent.cut();
  await framework.launch([task('crossed')]);
  say.note('the same task on the next offer, as another attempt');
  await world.until(() => framework.offers().length > 0);
  await framework.launch([task('crossed', { runMs: 50 }, { attempt: 1 })]);
  await framework.acknowledgeAll();
});

conversation('framework failover', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.call({ type: 'STORE', request: 's1', key: 'plan', value: 'kept and ended', version: 0 });
  await framework.launch([task('kept', { stays: true }), task('ended', { runMs: 20_000 })]);
  await framework.acknowledgeAll();
  await world.until(() => framework.offers().length > 0);
  say.note('its process is killed: its offer returns, its tasks go on');
  framework.bus.kill();
  await world.clock.advance(30_000);
  say.note('another process takes its name: what was not acknowledged is told');
  const next = new ScriptedFramework(world, 'fw');
  await next.subscribe();
  say.note('it reads what its predecessor stored, and adopts: all live tasks are told');
  await next.call({ type: 'LOAD', request: 'l1', prefix: '' });
  await next.call({ type: 'RECONCILE', tasks: [] });
  await next.acknowledgeAll();
  say.note('an offer of the predecessor is worth nothing');
  await next.launch([task('greedy')], framework.offers());
  say.note('a launch that its predecessor made is answered, not made again');
  await next.launch([task('kept', { stays: true }), task('ended')]);
  say.note('it kills what it adopted, and is torn down');
  await next.call({ type: 'KILL', tasks: [{ task: 'kept' }] });
  await next.acknowledgeAll();
  await next.call({ type: 'TEARDOWN' });
});

conversation('subscribe with wishes and capabilities', async (world, say) => {
  const nano = new SimulatedAgent(world, 'nano');
  nano.resources = 'cpus:4;mem:1024;gpus:1';
  await nano.start();
  await new SimulatedAgent(world, 'pi-1').start();
  const plain = new ScriptedFramework(world, 'plain');
  say.note('one that asks for nothing gets no GPU');
  await plain.subscribe();
  await plain.call({ type: 'DECLINE', offers: plain.offers(), refuseMs: 3_600_000 });
  say.note('one that can use GPUs, and wants agents with one, in whole tasks');
  const picky = new ScriptedFramework(world, 'picky');
  await world.until(() => picky.bus.connected);
  await picky.call({
    type: 'SUBSCRIBE',
    roles: ['vision', 'text'],
    suppressed: ['text'],
    capabilities: ['GPU_RESOURCES'],
    wishes: [{ role: 'vision', shape: 'cpus:3;gpus:1', constraints: [['agent==nano']] }],
  });
  say.note('the role that was suppressed is revived');
  await picky.call({ type: 'REVIVE', roles: ['text'] });
});

conversation('update framework', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe(['ann', 'bob']);
  say.note('it leaves the role of its offer: that is taken back, and comes under the other');
  const [first] = framework.of('OFFERS').flatMap(({ offers }) => offers);
  const stays = first?.role === 'ann' ? 'bob' : 'ann';
  await framework.call({ type: 'UPDATE_FRAMEWORK', roles: [stays] });
  await world.clock.advance(1_000);
  say.note('from now on no offer holds more than one cpu; what stands is left alone');
  await framework.call({ type: 'UPDATE_FRAMEWORK', roles: [stays], mostPerOffer: 'cpus:1' });
  await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 0 });
  await world.clock.advance(1_000);
  say.note('one that cannot be read changes nothing');
  await framework.call({ type: 'UPDATE_FRAMEWORK', roles: ['/'] });
  await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 0 });
  await world.clock.advance(1_000);
});

conversation('offer time-out', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('the scheduler says nothing for 30 s');
  await world.clock.advance(31_000);
});

conversation('launch until answered', async (world, say) => {
  const agent = new ScriptedAgent(world, 'esp');
  await agent.say(greeting('esp'));
  const framework = new ScriptedFramework(world, 'fw', 'json');
  await framework.subscribe();
  await framework.launch([task('blink')]);
  say.note('the agent does not answer');
  await world.clock.advance(11_000);
  say.note('now it does');
  const { epoch } = agent;
  const key = { framework: 'fw', task: 'blink', attempt: 0 };
  await agent.say({ type: 'ACCEPTED', epoch, tasks: [key] });
  await world.clock.advance(11_000);
  const status = { ...key, restart: 0, uuid: 'u1', sequence: 1, state: 'TASK_RUNNING' as const };
  await agent.say({ type: 'UPDATE', epoch, updates: [status] });
  say.note('the same update again: acknowledged again, not told again');
  await agent.say({ type: 'UPDATE', epoch, updates: [status] });
  say.note('a kill, again until the task has ended');
  await framework.call({ type: 'KILL', tasks: [{ task: 'blink' }] });
  await world.clock.advance(6_000);
  await agent.say({
    type: 'UPDATE',
    epoch,
    updates: [{ ...status, uuid: 'u2', sequence: 2, state: 'TASK_KILLED', exitCode: 143 }],
  });
});

conversation('reconcile', async (world, say) => {
  const agent = new ScriptedAgent(world, 'pi-1');
  await agent.say(greeting('pi-1'));
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('kept'), task('lost')]);
  const { epoch } = agent;
  const keys = ['kept', 'lost'].map((name) => ({ framework: 'fw', task: name, attempt: 0 }));
  await agent.say({ type: 'ACCEPTED', epoch, tasks: keys });
  const updates = keys.map((key, at) => ({
    ...key,
    restart: 0,
    uuid: `u${at}`,
    sequence: 1,
    state: 'TASK_RUNNING' as const,
  }));
  await agent.say({ type: 'UPDATE', epoch, updates });
  say.note('it resumes with another digest: it is asked for its list');
  const { cluster, generation } = agent.last('REGISTERED') ?? { cluster: '', generation: 0 };
  const { identity, incarnation, boot, resources, attributes } = greeting('pi-1');
  await agent.say({
    type: 'RESUME',
    agent: 'id-pi-1',
    epoch,
    identity,
    incarnation,
    boot,
    resources,
    attributes,
    cluster: { uuid: cluster, generation },
    digest: '1-0-0',
  });
  const request = agent.last('RECONCILE')?.request ?? '';
  const known = {
    ...keys[0],
    restart: 0,
    state: 'TASK_RUNNING' as const,
    sequence: 1,
    framework: 'fw',
    task: 'kept',
    attempt: 0,
  };
  await agent.say({ type: 'TASKS', epoch, request, tasks: [known], part: 0, last: true });
  say.note('the framework asks: about one, about one nobody knows, about all');
  await framework.call({ type: 'RECONCILE', tasks: [{ task: 'kept' }, { task: 'never', agent: 'id-pi-1' }] });
  await framework.call({ type: 'RECONCILE', tasks: [] });
});

conversation('unreachable and back', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('long', { stays: true })]);
  await framework.acknowledgeAll();
  say.note('nothing comes through for five minutes');
  agent.unplug();
  await world.clock.advance(200_000);
  await framework.acknowledgeAll();
  await world.clock.advance(100_000);
  say.note('the network heals');
  world.network.heal();
  await world.clock.advance(30_000);
});

conversation('lost after an hour, and back after all', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('long', { stays: true })]);
  await framework.acknowledgeAll();
  agent.unplug();
  await world.clock.advance(3_760_000);
  await framework.acknowledgeAll();
  say.note('the network heals: what was given up ends');
  world.network.heal();
  await world.clock.advance(60_000);
});

conversation('executor lost', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  const { clock, random } = world;
  const { machine, socket, made } = agent;
  scriptedExecutors({ clock, random, machine, socket, made });
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const { argv: _argv, ...about } = executorTask('e');
  await framework.launch([task('t', {}, { argv: [], ...about })]);
  await framework.acknowledgeAll();
  const id = agent.agent?.agent ?? '';
  say.note('a word to the executor, and one back');
  await framework.call({ type: 'MESSAGE', agent: id, executor: 'e', data: 'hello' });
  say.note('its process is killed: its task has failed, and the framework hears why');
  const [folder = ''] = made.keys();
  machine.signal(folder, 'SIGKILL');
  await world.clock.advance(1_000);
  await framework.acknowledgeAll();
  say.note('a group, of which one is killed; then the framework leaves, and the executor with it');
  await framework.call({
    type: 'ACCEPT',
    offers: framework.offers(),
    operations: [
      {
        type: 'LAUNCH_GROUP',
        group: 'pod',
        tasks: ['a', 'b'].map((name) => task(name, {}, { argv: [], ...about })),
      },
    ],
  });
  await framework.acknowledgeAll();
  await framework.call({ type: 'KILL', tasks: [{ task: 'a' }] });
  await framework.acknowledgeAll();
  await framework.call({ type: 'TEARDOWN' });
  await world.clock.advance(2_000);
});

conversation('killed while launching', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('a machine that starts nothing; the kill comes before the launch is committed');
  agent.machine.freeze();
  const operations = [{ type: 'LAUNCH' as const, tasks: [task('early', { stays: true })] }];
  await framework.call({ type: 'ACCEPT', offers: framework.offers().slice(-1), operations }, 0);
  await framework.call({ type: 'KILL', tasks: [{ task: 'early' }] });
  await framework.acknowledgeAll();
  say.note('the kill comes before the start');
  await world.clock.advance(5_000);
  await framework.launch([task('late', { stays: true })]);
  await framework.call({ type: 'KILL', tasks: [{ task: 'late' }] });
  await framework.acknowledgeAll();
  say.note('the machine wakes up: nothing starts');
  agent.machine.thaw();
  await world.clock.advance(2_000);
});

conversation('killed while unreachable', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('long', { stays: true })]);
  await framework.acknowledgeAll();
  agent.unplug();
  await world.clock.advance(200_000);
  say.note('a kill of what nobody can reach is remembered');
  await framework.call({ type: 'KILL', tasks: [{ task: 'long' }] });
  await world.clock.advance(60_000);
  say.note('the network heals');
  world.network.heal();
  await world.clock.advance(30_000);
  await framework.acknowledgeAll();
});

conversation('reconcile in seven cases', async (world, say) => {
  const known = new SimulatedAgent(world, 'pi-1');
  const lost = new SimulatedAgent(world, 'pi-2');
  const gone = new SimulatedAgent(world, 'pi-3');
  for (const agent of [known, lost, gone]) await agent.start();
  const [one = '', two = '', three = ''] = [known, lost, gone].map(({ agent }) => agent?.agent);
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const offers = framework.of('OFFERS').flatMap((event) => event.offers);
  const ofFirst = offers.filter(({ agent }) => agent === one).map(({ offer }) => offer);
  await framework.launch([task('runs', { stays: true })], ofFirst);
  await framework.acknowledgeAll();
  await new ScriptedClient(world, 'ann').ask('r1', 'gone', { agent: 'pi-3' });
  gone.kill();
  lost.unplug();
  await world.clock.advance(200_000);
  const ask = async (...tasks: { task: string; agent?: string }[]) => framework.call({ type: 'RECONCILE', tasks });
  say.note('known to the master: its latest state');
  await ask({ task: 'runs' });
  say.note('not known, its agent registered: TASK_GONE');
  await ask({ task: 'x', agent: one });
  say.note('not known, its agent unreachable: TASK_UNREACHABLE');
  await ask({ task: 'x', agent: two });
  say.note('not known, its agent declared gone: TASK_GONE_BY_OPERATOR');
  await ask({ task: 'x', agent: three });
  say.note('not known, nor the agent: TASK_UNKNOWN');
  await ask({ task: 'x', agent: 'nobody' });
  say.note('a new leader, and an agent that is not back yet: not yet known, where Mesos does not answer');
  known.kill();
  world.killMaster();
  await world.start();
  await framework.subscribe();
  await ask({ task: 'x', agent: one });
  say.note('and without the name of an agent');
  await ask({ task: 'x' });
});

conversation('health', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  const timing = { delayMs: 1_000, intervalMs: 1_000, timeoutMs: 500, consecutiveFailures: 2, gracePeriodMs: 0 };
  await framework.launch([task('web', { stays: true }, { healthCheck: { tcp: { port: 80 }, ...timing } })]);
  await world.clock.advance(2_000);
  say.note('it answers no more: every failure is told, the second ends it');
  agent.prober.answer = () => ({ connected: false, trouble: 'connect ECONNREFUSED 127.0.0.1:80' });
  await world.clock.advance(5_000);
  await framework.acknowledgeAll();
});

conversation('gone', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('long', { stays: true })]);
  const client = new ScriptedClient(world, 'ann');
  await client.ask('r1', 'gone', { agent: 'pi-1' });
  await world.clock.advance(10_000);
  say.note('the request is repeated: the same answer, and nothing is done');
  await client.ask('r1', 'gone', { agent: 'pi-1' });
  say.note('the identity is barred');
  const again = new ScriptedAgent(world, 'pi-1');
  await again.say(greeting('pi-1', { agent: agent.agent?.agent ?? '', identity: agent.identity }));
});

conversation('requests', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  const client = new ScriptedClient(world, 'ann');
  await client.ask('r1', 'agents');
  await client.ask('r2', 'token-create', { role: 'viewer', name: 'vera' });
  say.note('the request is repeated: a secret is shown once');
  await client.ask('r2', 'token-create', { role: 'viewer', name: 'vera' });
  const viewer = new ScriptedClient(world, 'vera');
  await viewer.ask('r3', 'offers');
  say.note('faults');
  await viewer.ask('r4', 'gone', { agent: 'pi-1' });
  await client.ask('r5', 'gone', { agent: 'nobody' });
  await client.ask('r6', 'dance');
  await client.ask('r7', 'gone', { agent: '' });
  await client.raw(encode({ v: 9, type: 'REQUEST', request: 'r8', op: 'agents' }, 'json'));
  await client.raw(encode({ v: 1, type: 'PRAYER', request: 'r9', op: 'agents' }, 'cbor'));
  await client.raw(new TextEncoder().encode('{"v":1,'));
});

conversation('faults on the other links', async (world, say) => {
  const framework = new ScriptedFramework(world, 'fw');
  say.note('a call before SUBSCRIBE');
  await world.until(() => framework.bus.connected);
  await framework.call({ type: 'REVIVE' });
  await framework.subscribe();
  say.note('a call of another version, one of no known type, one of a wrong shape');
  for (const call of [
    { v: 9, type: 'REVIVE' },
    { v: 1, type: 'DANCE' },
    { v: 1, type: 'KILL', tasks: [{ task: '../x' }] },
  ]) {
    void framework.bus.publish('mesq/frameworks/fw/call', encode(call, 'cbor'), { qos: 1 });
    await world.clock.advance(500);
  }
  say.note('a task the offer cannot hold, and one that asks for nothing');
  await new SimulatedAgent(world, 'pi-1').start();
  const much = task('much', {}, { resources: [{ name: 'cpus', scalar: 64_000 }] });
  await framework.launch([much, task('nothing', {}, { resources: [] })]);
  const agent = new ScriptedAgent(world, 'pi-2');
  say.note('an agent of the future, one that speaks as another, one of another cluster, one without a session');
  await agent.say(greeting('pi-2', { versions: { min: 7, max: 9, features: [] } }));
  await agent.say(greeting('pi-2', { name: 'pi-3' }));
  await agent.say(greeting('pi-2', { cluster: { uuid: 'c-other', generation: 1 } }));
  await agent.say({ type: 'RENEW', epoch: 3 });
});

conversation('operations and a volume', async (world, say) => {
  const agent = new SimulatedAgent(world, 'pi-1');
  agent.resources = 'cpus:4;mem:1024;disk:1000';
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  say.note('reserve, make a volume, launch on it, and two that may not be');
  await framework.operate(
    { type: 'RESERVE', id: 'r1', resources: resourcesOf('cpus(ann):1;disk(ann):200') },
    { type: 'RESERVE', id: 'foreign', resources: resourcesOf('cpus(bob):1') },
    { type: 'CREATE', id: 'c1', resources: resourcesOf('disk(ann)[data]:100') },
    { type: 'CREATE', id: 'unlike', resources: resourcesOf('disk(ann)[more]:1000') },
    { type: 'LAUNCH', tasks: [task('t1', {}, { resources: resourcesOf('cpus(ann):1;disk(ann)[data]:100') })] },
  );
  say.note('acknowledged, an operation is forgotten');
  const told = framework.of('UPDATE_OPERATION_STATUS').flatMap(({ updates }) => updates);
  const done = told.find(({ operation }) => operation === 'r1');
  await framework.call({
    type: 'ACKNOWLEDGE_OPERATION_STATUS',
    updates: [{ operation: 'r1', uuid: done?.uuid ?? '' }],
  });
  await framework.call({ type: 'RECONCILE_OPERATIONS', operations: [{ operation: 'r1' }, { operation: 'c1' }] });
  say.note('destroyed: the agent removes it');
  await framework.acknowledgeAll();
  await framework.operate({ type: 'DESTROY', id: 'd1', resources: resourcesOf('disk(ann)[data]:100') });
});

conversation('inverse offers', async (world, say) => {
  await new SimulatedAgent(world, 'pi-1').start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('t1', { stays: true })]);
  const operator = new ScriptedClient(world, 'ann');
  say.note('in an hour, for ten minutes: its offers say so, its tenant is asked');
  await operator.ask('r1', 'drain', { agent: 'pi-1', inMs: 3_600_000, forMs: 600_000 });
  const [asked] = framework.of('INVERSE_OFFERS').flatMap(({ offers }) => offers);
  await framework.call({ type: 'DECLINE_INVERSE_OFFERS', offers: [asked?.offer ?? ''] });
  await operator.ask('r2', 'agents');
  say.note('the agent stays after all');
  await operator.ask('r3', 'resume', { agent: 'pi-1' });
});
