import test from 'ava';
import fc from 'fast-check';
import { PRESENCE } from '../../protocol/agent-link.ts';
import { write } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { TIMES } from '../../protocol/limits.ts';
import { reportedDigest } from '../../protocol/reported-digest.ts';
import { contains, equals } from '../../protocol/resource-arithmetic.ts';
import { parseResources } from '../../protocol/resources.ts';
import { resourcesOf } from '../resources-of.ts';
import { SeededRandom } from '../sim/random.ts';
import {
  greeting,
  MasterWorld,
  ScriptedAgent,
  ScriptedClient,
  ScriptedFramework,
  SimulatedAgent,
  task,
} from './world.ts';

const logFiles = (world: MasterWorld): string[] => world.disk.paths().filter((path) => path.startsWith('log/'));

/** Agents as `mesq agents` shows them. */
interface ShownAgent {
  readonly name: string;
  readonly state: string;
  readonly epoch: number;
  readonly resources: Readonly<Record<string, string>>;
}

async function agentsOf(client: ScriptedClient, request: string): Promise<readonly ShownAgent[]> {
  const reply = await client.ask(request, 'agents');
  return ((reply?.body ?? { agents: [] }) as { agents: ShownAgent[] }).agents;
}

test('a registration repeated with its nonce is answered with the same epoch; an older counter is refused', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi', { counter: 5 }));
  const { epoch } = agent;
  await agent.say(greeting('pi', { counter: 5 }));
  t.is(agent.heard.filter(({ type }) => type === 'REGISTERED').length, 2);
  t.is(agent.epoch, epoch);
  await agent.say(greeting('pi', { counter: 4 }));
  t.is(agent.last('REFUSED')?.fault.code, 'STALE');
  await agent.say(greeting('pi', { counter: 6 }));
  t.true(agent.epoch > epoch);
  await agent.say({ type: 'REPORT', epoch, resources: resourcesOf('cpus:64'), attributes: [] });
  t.is(agent.last('REFUSED')?.fault.code, 'NOT_REGISTERED', 'an older session says nothing any more');
  t.is((await agentsOf(new ScriptedClient(world, 'ann'), 'r'))[0]?.resources['total'], 'cpus:4;mem:1024');
});

test('a framework that is torn down and subscribes again at once is taken in as a new one', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await framework.launch([task('old', { stays: true })]);
  await Promise.all([framework.call({ type: 'TEARDOWN' }), framework.call({ type: 'SUBSCRIBE', roles: ['ann'] })]);
  await world.clock.advance(5_000);
  t.is(framework.of('SUBSCRIBED').length, 2);
  t.is(agent.machine.processes('fw/old.0/0'), 0);
  await framework.launch([task('new', { stays: true })]);
  t.deepEqual(framework.states('new'), ['TASK_RUNNING']);
});

test('a TEARDOWN needs no session, and is answered once the framework is removed', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw', 'json');
  await framework.subscribe();
  await framework.launch([task('t', { stays: true })]);
  framework.bus.kill();
  await world.clock.advance(30_000);
  const next = new ScriptedFramework(world, 'fw', 'json');
  for (const answers of [1, 2]) {
    await next.call({ type: 'TEARDOWN' }, 5_000);
    t.deepEqual(
      next.of('ERROR').map(({ fault }) => fault.code),
      Array.from({ length: answers }, () => 'NOT_REGISTERED'),
    );
    t.is(agent.machine.processes('fw/t.0/0'), 0);
  }
});

test('a launch that is on its way to the log is not unknown to a reconcile', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await Promise.all([
    framework.launch([task('t', { stays: true })]),
    framework.call({ type: 'RECONCILE', tasks: [{ task: 't', attempt: 0 }, { task: 'other' }] }),
  ]);
  t.is(framework.states('t')[0], 'TASK_STAGING');
  t.deepEqual(framework.states('other'), ['TASK_UNKNOWN']);
});

test('a link that flaps commits nothing, whatever the digest says', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi'));
  const { cluster = '', generation = 0, epoch = 0 } = agent.last('REGISTERED') ?? {};
  const { identity, incarnation, boot, resources, attributes } = greeting('pi');
  const indexes = new Set<number>();
  for (let flap = 0; flap < 5; flap++) {
    await agent.say({
      type: 'RESUME',
      agent: 'id-pi',
      epoch,
      identity,
      incarnation,
      boot,
      resources,
      attributes,
      cluster: { uuid: cluster, generation },
      digest: '7-0-0',
    });
    const request = agent.last('RECONCILE')?.request ?? '';
    await agent.say({ type: 'TASKS', epoch, request, tasks: [], part: 0, last: true });
    indexes.add(agent.last('RESUMED')?.index ?? -1);
  }
  t.is(indexes.size, 1);
});

test('a brief greeting commits nothing where the digest is the same, and asks for a report where it is not', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi'));
  const { cluster = '', generation = 0, epoch = 0, brief } = agent.last('REGISTERED') ?? {};
  t.true(brief);
  const { incarnation } = greeting('pi');
  const resume = async (reported: string | undefined) => {
    const named = reported === undefined ? {} : { reported };
    const uuid = cluster;
    await agent.say({ type: 'RESUME', agent: 'id-pi', epoch, incarnation, cluster: { uuid, generation }, ...named });
    return agent.last('RESUMED');
  };
  const same = await resume(reportedDigest(resourcesOf('mem:1024;cpus:4'), []));
  t.is(same?.report, undefined);
  const now = resourcesOf('cpus:9;mem:10');
  const other = await resume(reportedDigest(now, []));
  t.true(other?.report);
  t.is(other?.index, same?.index);
  await agent.say({ type: 'REPORT', epoch, resources: now, attributes: [] });
  t.is((await resume(reportedDigest(now, [])))?.report, undefined);
  t.is((await agentsOf(new ScriptedClient(world, 'ann'), 'r'))[0]?.resources['total'], 'cpus:9;mem:10');
  await resume(undefined);
  t.like(agent.last('REFUSED'), { register: false, fault: { code: 'BAD_SHAPE' } });
});

test('the list of a registration may come in parts, and one that is missing is not taken for the end', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  const known = (from: number) =>
    Array.from({ length: 200 }, (_, at) => ({
      framework: 'fw',
      task: `t${from + at}`,
      attempt: 0,
      restart: 0,
      state: 'TASK_RUNNING' as const,
      sequence: 1,
      resources: resourcesOf('cpus:0.001;mem:1'),
    }));
  await agent.say(greeting('pi', { tasks: known(0), part: 0, last: false }));
  await agent.say(greeting('pi', { tasks: known(400), part: 2, last: true }));
  t.is(agent.epoch, 0);
  t.is(world.master?.counters.get('list with a missing part'), 1);
  for (let part = 0; part < 5; part++)
    await agent.say(greeting('pi', { tasks: known(part * 200), part, last: part === 4 }));
  t.true(agent.epoch > 0);
  const killed = agent.heard.flatMap((message) => (message.type === 'KILL' ? message.tasks : []));
  t.is(new Set(killed.map(({ task }) => task)).size, 1_000, 'the whole list was taken, and nobody launched any of it');
});

test('what an agent says it runs is nobody’s task unless somebody launched it, and ends none', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await new SimulatedAgent(world, 'pi').start();
  await framework.launch([task('t', { stays: true })]);
  const evil = new ScriptedAgent(world, 'evil');
  const lie = { framework: 'fw', task: 't', attempt: 7, restart: 0, state: 'TASK_RUNNING', sequence: 0 } as const;
  await evil.say(greeting('evil', { tasks: [{ ...lie, resources: [] }] }));
  const { epoch } = evil;
  t.true(epoch > 0);
  t.like(evil.last('KILL')?.tasks, [{ task: 't', attempt: 7 }]);
  const end = { framework: 'fw', task: 't', attempt: 7, uuid: 'u1', sequence: 1, state: 'TASK_FINISHED' } as const;
  await evil.say({ type: 'UPDATE', epoch, updates: [end] });
  t.deepEqual(framework.states('t'), ['TASK_RUNNING']);
});

test('a master that is killed at any time forgets nothing it has answered, whatever power leaves of its last write', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const world = new MasterWorld({ seed });
    await world.start();
    const agent = new SimulatedAgent(world, 'pi');
    await agent.start();
    const client = new ScriptedClient(world, 'ann');
    const created = await client.ask('r1', 'token-create', { role: 'user', name: 'bob' });
    const { token } = (created?.body ?? {}) as { token: string };
    const framework = new ScriptedFramework(world, 'fw');
    await framework.subscribe();
    await framework.launch([task('t', { stays: true })]);
    t.deepEqual(framework.states('t'), ['TASK_RUNNING']);
    // One more is on its way to the disk when the lights go out.
    client.tell('r2', 'token-create', { role: 'user', name: 'eve' });
    await world.clock.advance(new SeededRandom(seed).below(8));
    world.cutPower();
    t.is(await world.start(), undefined);
    await world.clock.advance(60_000);
    const [, secret = ''] = token.split(':');
    t.is(world.master?.roleOf('bob', secret), 'user');
    const before = agent.agent?.agent;
    t.like((await agentsOf(client, 'r3'))[0], {
      name: 'pi',
      state: 'active',
      id: before ?? '',
    });
    await framework.subscribe();
    await framework.call({ type: 'RECONCILE', tasks: [{ task: 't' }] });
    t.deepEqual([...new Set(framework.states('t'))], ['TASK_RUNNING']);
  }
});

test('a log that is damaged in its middle is refused, and says so', async (t) => {
  const world = new MasterWorld();
  await world.start();
  await new SimulatedAgent(world, 'pi').start();
  world.killMaster();
  const [path = ''] = logFiles(world);
  const bytes = world.disk.peek(path) ?? new Uint8Array();
  const inTheMiddle = bytes.slice();
  const at = 120;
  inTheMiddle[at] = (inTheMiddle[at] ?? 0) ^ 0xff;
  world.disk.poke(path, inTheMiddle);
  const fault = await world.start();
  t.is(fault instanceof Fault ? fault.code : 'started', 'CORRUPT');
  world.killMaster();
  world.disk.poke(path, bytes);
  t.is(await world.start(), undefined, 'as it was it starts');
});

test('a disk that fails ends the master before it answers', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const client = new ScriptedClient(world, 'ann');
  world.disk.failingSyncs = 1;
  t.is(await client.ask('r1', 'token-create', { role: 'user', name: 'bob' }), undefined);
  t.is(world.fatal.length, 1);
});

test('tokens are kept as hashes, and a request is done once however often it comes', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const client = new ScriptedClient(world, 'ann');
  const asked = [1, 2, 3].map(() => client.ask('r1', 'token-create', { role: 'user', name: 'bob' }));
  await Promise.all(asked);
  const tokens = client.replies
    .filter(({ request }) => request === 'r1')
    .map(({ body }) => body as { token?: string } | undefined);
  const [secret = ''] = tokens.flatMap((body) => body?.token?.split(':')[1] ?? []);
  t.is(world.master?.roleOf('bob', secret), 'user');
  const listed = await client.ask('r2', 'token-list');
  t.is(JSON.stringify(listed?.body).split('"bob"').length - 1, 1);
  for (const path of world.disk.paths()) {
    if (path === 'operator-token') continue;
    t.false(Buffer.from(world.disk.peek(path) ?? []).includes(secret), path);
  }
  await client.ask('r3', 'token-revoke', { token: 'bob' });
  t.is(world.master?.roleOf('bob', secret), undefined);
  t.deepEqual(world.sentAway, ['bob']);
});

test('who spoke with a token that was revoked is nobody, to a master that leads only since, too', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const ann = new ScriptedClient(world, 'ann');
  await ann.ask('r1', 'token-create', { role: 'viewer', name: 'eve' });
  world.roles.set('eve', 'viewer');
  const eve = new ScriptedClient(world, 'eve');
  t.is((await eve.ask('r2', 'agents'))?.fault, undefined);
  await ann.ask('r3', 'token-revoke', { token: 'eve' });
  t.is((await eve.ask('r4', 'agents'))?.fault?.code, 'NOT_ALLOWED');
  world.killMaster();
  world.sentAway.length = 0;
  await world.start();
  t.is((await eve.ask('r5', 'token-create', { role: 'operator', name: 'mallory' }))?.fault?.code, 'NOT_ALLOWED');
  // The same name without a token, through the listener that asks for none.
  world.roles.set('eve', 'local');
  t.is((await eve.ask('r6', 'agents'))?.fault, undefined);
});

test('the operator has a token after a restart too, and a new one where none is left', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const written = (): string => new TextDecoder().decode(world.disk.peek('operator-token')).trim();
  const first = written();
  world.killMaster();
  await world.start();
  t.is(written(), first);
  await new ScriptedClient(world, 'ann').ask('r', 'token-revoke', { token: 'operator' });
  world.killMaster();
  await world.start();
  t.not(written(), first);
  const [name = '', secret = ''] = written().split(':');
  t.is(world.master?.roleOf(name, secret), 'operator');
});

test('a silent scheduler does not hoard: what it lets time out is offered to another', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const busyAgent = new SimulatedAgent(world, 'busy');
  await busyAgent.start();
  const busy = new ScriptedFramework(world, 'busy');
  await busy.subscribe(['b']);
  await busy.launch([task('t', { stays: true }, { resources: resourcesOf('cpus:4;mem:1024') })]);
  const silent = new ScriptedFramework(world, 'silent');
  await silent.subscribe(['s']);
  await new SimulatedAgent(world, 'free').start();
  t.is(busy.offers().length, 0, 'the emptier share comes first');
  await world.clock.advance(33_000);
  t.is(busy.offers().length, 1, 'and has had its turn');
});

test('metered agents are given ten minutes, others one', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await new ScriptedAgent(world, 'cable').say(greeting('cable'));
  await new ScriptedAgent(world, 'lte').say(greeting('lte', { metered: true }));
  const start = world.clock.monotonic();
  const lost = (name: string): boolean => framework.of('FAILURE').some(({ agent }) => agent === `id-${name}`);
  await world.until(() => lost('cable'));
  const cable = world.clock.monotonic() - start;
  t.true(cable > 148_000 && cable < 152_000, String(cable));
  await world.until(() => lost('lte'));
  const lte = world.clock.monotonic() - start;
  t.true(lte > 957_000 && lte < 962_000, String(lte));
});

test('a leader that sees pings grants a longer lease to who asks for it, and sends away who is silent beyond it', async (t) => {
  const world = new MasterWorld();
  world.seesPackets = true;
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  await agent.say(greeting('pi'));
  t.is(agent.last('REGISTERED')?.keepAliveMs, TIMES.longestKeepAliveMs);
  await agent.say({ type: 'RENEW', epoch: agent.epoch, keepAliveMs: TIMES.longestKeepAliveMs });
  agent.bus.pulse.every(10 * TIMES.longestKeepAliveMs);
  // Nothing passes any more; the connection stands.
  world.network.partition(() => true);
  await world.clock.advance(TIMES.longestKeepAliveMs + TIMES.leaseMs / 3 - 1_000);
  t.deepEqual(world.sentAway, []);
  await world.clock.advance(2_000);
  t.deepEqual(world.sentAway, ['pi']);
});

test('a metered agent may open with RESUME: a will of before ends nothing, and the answer asks for no sign of life', async (t) => {
  const world = new MasterWorld();
  world.seesPackets = true;
  await world.start();
  const agent = new ScriptedAgent(world, 'pi');
  const plain = new ScriptedAgent(world, 'cable');
  await plain.say(greeting('cable'));
  t.is(plain.last('REGISTERED')?.opens, undefined);
  const presence = (session: number, online: boolean) =>
    void agent.bus.publish(
      'mesq/agents/pi/presence',
      write(PRESENCE, { type: 'PRESENCE', incarnation: 'i1', session, online }),
      { qos: 1 },
    );
  await world.until(() => agent.bus.connected);
  presence(1, true);
  await agent.say(greeting('pi', { metered: true }));
  t.true(agent.last('REGISTERED')?.opens);
  const { cluster: uuid = '', generation = 0 } = agent.last('REGISTERED') ?? {};
  const resume = (session: number) =>
    agent.say({
      type: 'RESUME',
      agent: 'id-pi',
      epoch: agent.epoch,
      incarnation: 'i1',
      session,
      cluster: { uuid, generation },
      reported: reportedDigest(resourcesOf('cpus:4;mem:1024'), []),
      digest: '0-0-0',
      keepAliveMs: TIMES.longestKeepAliveMeteredMs,
    });
  const heard = agent.heard.length;
  world.network.loss = 1;
  await resume(2);
  t.is(agent.heard.length, heard, 'at QoS 0');
  world.network.loss = 0;
  await resume(3);
  t.is(agent.heard.length, heard + 1);
  presence(2, false);
  await world.clock.advance(1_000);
  const state = async () => (await agentsOf(new ScriptedClient(world, 'ann'), 'r')).find(({ name }) => name === 'pi');
  t.like(await state(), { state: 'active' });
  agent.bus.pulse.every(10 * TIMES.longestKeepAliveMeteredMs);
  world.network.partition((client) => client.includes('pi'));
  await world.clock.advance(TIMES.longestKeepAliveMeteredMs);
  t.deepEqual(world.sentAway, []);
  await world.clock.advance(2 * TIMES.leaseMs);
  t.deepEqual(world.sentAway, ['pi']);
});

test('a new leader gives an agent a full period before it is unreachable', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const agent = new SimulatedAgent(world, 'pi');
  await agent.start();
  agent.unplug();
  await world.clock.advance(80_000);
  world.killMaster();
  await world.start();
  const framework = new ScriptedFramework(world, 'fw');
  await framework.subscribe();
  await world.clock.advance(200_000);
  t.is(framework.of('FAILURE').length, 0);
  await world.clock.advance(20_000);
  t.is(framework.of('FAILURE').length, 1);
});

type Happening =
  | 'launch'
  | 'decline'
  | 'kill'
  | 'cut'
  | 'unplug'
  | 'heal'
  | 'reboot'
  | 'restart'
  | 'wait'
  | 'master'
  | 'acknowledge'
  | 'gone';
const happenings = fc.array(
  fc.constantFrom<Happening>(
    'launch',
    'launch',
    'launch',
    'decline',
    'kill',
    'cut',
    'unplug',
    'heal',
    'reboot',
    'restart',
    'wait',
    'master',
    'acknowledge',
    'gone',
  ),
  { maxLength: 25 },
);

test('whatever happens, tasks and offers never exceed an agent, and in the end everything is free again', async (t) => {
  await fc.assert(
    fc.asyncProperty(happenings, fc.integer({ min: 1, max: 1_000 }), async (list, seed) => {
      const world = new MasterWorld({ seed, duplicates: 0.2 });
      await world.start();
      const agents = ['a', 'b'].map((name) => new SimulatedAgent(world, name));
      for (const agent of agents) await agent.start();
      const framework = new ScriptedFramework(world, 'fw');
      await framework.subscribe();
      const client = new ScriptedClient(world, 'ann');
      let minted = 0;
      let asked = 0;
      let gone = false;
      const [victim, other] = agents;
      if (victim === undefined || other === undefined) return;
      for (const happening of list) {
        if (happening === 'launch')
          await framework.launch([
            task(
              `t${minted++}`,
              { runMs: minted % 2 === 0 ? 20_000 : 900_000 },
              { resources: resourcesOf('cpus:1.5;mem:100') },
            ),
          ]);
        if (happening === 'decline')
          await framework.call({ type: 'DECLINE', offers: framework.offers(), refuseMs: 5_000 });
        if (happening === 'kill' && minted > 0)
          await framework.call({ type: 'KILL', tasks: [{ task: `t${minted - 1}` }] });
        if (happening === 'cut') victim.cut();
        if (happening === 'unplug') victim.unplug();
        if (happening === 'heal') world.network.heal();
        if (happening === 'reboot' || happening === 'restart') {
          world.network.heal();
          if (happening === 'reboot') other.reboot();
          else other.kill();
          await world.clock.advance(10);
          await other.start();
        }
        if (happening === 'wait') await world.clock.advance(200_000);
        if (happening === 'acknowledge') await framework.acknowledgeAll();
        if (happening === 'gone' && !gone) {
          gone = true;
          await client.ask('gone', 'gone', { agent: 'a' });
        }
        if (happening === 'master') {
          world.killMaster();
          await world.start();
          await world.clock.advance(40_000);
          await framework.subscribe();
        }
        for (const { resources, state } of await agentsOf(client, `r${asked++}`)) {
          if (state === 'gone') continue;
          const parse = (text = '') => {
            const parsed = parseResources(text);
            return parsed instanceof Fault ? t.fail(parsed.message) : parsed;
          };
          const held = parse([resources['allocated'], resources['offered']].filter((text) => text !== '').join(';'));
          if (!contains(parse(resources['total']), held))
            t.fail(`${list.join()} (seed ${seed}): ${JSON.stringify(resources)}`);
        }
      }
      world.network.heal();
      await world.clock.advance(4_000_000);
      await framework.call({ type: 'REVIVE' });
      const free = (await agentsOf(client, 'end')).filter(({ state }) => state === 'active');
      for (const { resources } of free) {
        t.is(resources['allocated'], '', `${list.join()} (seed ${seed})`);
        const offered = parseResources(resources['offered'] ?? '');
        if (offered instanceof Fault || !equals(offered, resourcesOf('cpus:4;mem:1024')))
          t.fail(`${list.join()} (seed ${seed}): ${JSON.stringify(resources)}`);
      }
    }),
    { numRuns: 15 },
  );
  t.pass();
});
