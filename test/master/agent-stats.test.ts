import test from 'ava';
import { Accounts } from '../../agent/accounts/accounts.ts';
import { MasterWorld, ScriptedClient, SimulatedAgent } from './world.ts';

type Said = Readonly<Record<string, unknown>> & { readonly type: string };

/** An agent that registers in JSON and says nothing more by itself. */
async function quietAgent(world: MasterWorld, name: string) {
  const bus = world.bus(`agent:${name}`);
  await world.clock.until(() => bus.connected);
  const heard: Said[] = [];
  void bus.subscribe(`mesq/agents/${name}/down`, 1, ({ payload }) => {
    heard.push(JSON.parse(new TextDecoder().decode(payload)) as Said);
  });
  const say = (message: object): void => {
    const payload = new TextEncoder().encode(JSON.stringify({ v: 1, ...message }));
    bus.publish(`mesq/agents/${name}/up`, payload, { qos: 1 }).catch(() => undefined);
  };
  say({ type: 'REGISTER', agent: `${name}-1`, name, incarnation: 'b', counter: 1, resources: 'cpus:1;mem:128' });
  await world.clock.until(() => heard.some(({ type }) => type === 'REGISTERED'));
  return { say, heard, epoch: heard.find(({ type }) => type === 'REGISTERED')?.['epoch'] };
}

const STATS = new Accounts({ tls: false }).stats({
  upMs: 42,
  keepAlives: 0,
  budget: { aDay: undefined, left: undefined, spent: 0, over: 0 },
  log: { lines: 0, dropped: 0 },
  process: null,
});

test('only the agent that was asked answers, and one that does not know the question is told apart from none', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const mute = await quietAgent(world, 'mute');
  const liar = await quietAgent(world, 'liar');
  const viewer = new ScriptedClient(world, 'eve');
  t.is(await viewer.ask('q1', 'agent-stats', { agent: 'mute' }), undefined, 'it has not answered yet');
  const asked = mute.heard.find(({ type }) => type === 'ASK_STATS');
  t.like(asked, { request: 'q1', client: 'eve', session: 's1' });
  const answer = { type: 'STATS', request: 'q1', client: 'eve', session: 's1', stats: STATS };
  liar.say({ ...answer, epoch: liar.epoch });
  await world.clock.advance(500);
  t.deepEqual(viewer.replies, []);
  mute.say({ ...answer, epoch: mute.epoch });
  await world.clock.advance(500);
  t.like(viewer.replies.at(-1), { request: 'q1', body: { agent: 'mute', stats: { upMs: 42 } } });
  await viewer.ask('q2', 'agent-stats', { agent: 'mute-1' });
  await world.clock.advance(10_000);
  t.like(viewer.replies.at(-1), { request: 'q2', fault: { code: 'TIMED_OUT' } });
  t.is((await viewer.ask('q3', 'agent-stats', { agent: 'nobody' }))?.fault?.code, 'NOT_FOUND');
});

test('an agent that is not connected is not asked', async (t) => {
  const world = new MasterWorld();
  await world.start();
  const pi = new SimulatedAgent(world, 'pi');
  await pi.start();
  const viewer = new ScriptedClient(world, 'eve');
  const told = await viewer.ask('q1', 'agent-stats', { agent: 'pi' });
  t.like(told?.body, { agent: 'pi', stats: { link: { connects: 1 }, process: null } });
  pi.kill();
  await world.clock.advance(100_000);
  t.is((await viewer.ask('q2', 'agent-stats', { agent: 'pi' }))?.fault?.code, 'UNREACHABLE');
});
