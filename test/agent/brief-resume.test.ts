import test from 'ava';
import { reportedDigest } from '../../protocol/reported-digest.ts';
import { AgentWorld } from './world.ts';

async function resumes(world: AgentWorld) {
  const before = world.master.of('RESUME').length;
  world.network.cut(`pi-1~${world.agent?.agent}`, 'test');
  await world.until(() => world.master.of('RESUME').length > before);
  const greeting = world.master.of('RESUME')[before];
  // Answered, or not.
  await world.clock.advance(500);
  return greeting;
}

test('a leadership that knows the agent hears a digest of what it has, and the whole when it asks', async (t) => {
  const world = new AgentWorld();
  world.master.brief = true;
  await world.up();
  const { resources = [], attributes = [] } = world.master.of('REGISTER')[0] ?? {};
  const greeting = await resumes(world);
  t.is(greeting?.resources, undefined);
  t.is(greeting?.reported, reportedDigest(resources, attributes));
  await world.clock.advance(10_000);
  t.deepEqual(world.master.of('REPORT'), []);
  world.master.reported = 'another';
  await resumes(world);
  await world.until(() => world.master.of('REPORT').length > 0);
  t.deepEqual(world.master.of('REPORT')[0]?.resources, resources);
  t.deepEqual(world.master.of('REPORT')[0]?.attributes, attributes);
});

test('a leadership that has not said it knows the digest hears the whole, as one of before expects it', async (t) => {
  const world = new AgentWorld();
  await world.up();
  const whole = await resumes(world);
  t.is(whole?.reported, undefined);
  t.true((whole?.resources?.length ?? 0) > 0);
  world.master.brief = true;
  await resumes(world);
  t.is((await resumes(world))?.resources, undefined);
  // The next leader is of the version before.
  world.master.term = 2;
  world.master.brief = false;
  const before = world.master.of('RESUME').length;
  world.master.lead();
  await world.until(() => world.master.of('RESUME').length > before);
  const next = world.master.of('RESUME')[before];
  t.is(next?.reported, undefined);
  t.is(next?.identity.machine, 'machine-1');
  t.true((next?.resources?.length ?? 0) > 0);
});

test('a brief greeting that is not answered is followed by a whole one', async (t) => {
  const world = new AgentWorld();
  world.master.brief = true;
  await world.up();
  const resume = world.master.command.bind(world.master);
  world.master.command = () => undefined;
  t.is((await resumes(world))?.resources, undefined);
  await world.until(() => world.master.of('RESUME').at(-1)?.resources !== undefined);
  world.master.command = resume;
  t.pass();
});
