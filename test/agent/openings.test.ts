import test from 'ava';
import { AgentWorld, program, URL } from './world.ts';

/** A metered agent that its leader knows; `said` is everything that it publishes, by topic. */
async function known(urls?: string[]): Promise<{ world: AgentWorld; said: string[] }> {
  const world = new AgentWorld(1, urls);
  world.more = { metered: true };
  Object.assign(world.master, { brief: true, opens: true });
  await world.up();
  const said: string[] = [];
  world.network.onPublish = (topic) => said.push(topic);
  return { world, said };
}

test('a metered agent says RESUME in one breath with CONNECT, and neither presence nor will', async (t) => {
  const { world, said } = await known();
  world.cut();
  await world.until(() => world.master.of('RESUME').length > 0);
  await world.clock.advance(100);
  // The will of the connection before is the last that its broker has.
  t.deepEqual(said, ['mesq/agents/pi-1/presence', 'mesq/agents/pi-1/up', 'mesq/agents/pi-1/down']);
  const [greeting] = world.master.of('RESUME');
  t.is(greeting?.resources, undefined);
  t.is(greeting?.session, 2);
  t.deepEqual(world.master.presence.at(-1)?.session, 1);
  said.splice(0);
  world.cut();
  await world.until(() => world.master.of('RESUME').length > 1);
  await world.clock.advance(100);
  t.deepEqual(said, ['mesq/agents/pi-1/up', 'mesq/agents/pi-1/down']);
  world.master.place('after', { argv: program() });
  await world.until(() => world.master.ended('after'));
});

test('an opening that is not answered is followed by all the rest, and what is retained', async (t) => {
  const { world, said } = await known();
  world.master.answering = false;
  world.cut();
  await world.until(() => said.filter((topic) => topic.endsWith('/up')).length > 1);
  t.true(said.lastIndexOf('mesq/agents/pi-1/presence') > said.indexOf('mesq/agents/pi-1/up'));
  world.master.answering = true;
  await world.until(() => world.master.of('RESUME').length > 0);
  const [greeting] = world.master.of('RESUME');
  t.true((greeting?.resources?.length ?? 0) > 0);
  t.is(greeting?.session, undefined);
});

test('an opening that is refused because its session is over registers again', async (t) => {
  const { world } = await known();
  world.master.epoch += 1;
  const before = world.master.of('REGISTER').length;
  world.cut();
  await world.until(() => world.master.of('REGISTER').length > before);
  await world.clock.advance(100);
  world.master.place('after', { argv: program() });
  await world.until(() => world.master.ended('after'));
  t.pass();
});

test('after an opening, news of another leader moves it, and the next begins step by step there', async (t) => {
  const { world, said } = await known([URL, 'mqtt://m2:1883']);
  world.cut();
  await world.until(() => world.master.of('RESUME').length > 0);
  await world.clock.advance(100);
  const other = world.masterAt('mqtt://m2:1883', world.master.cluster);
  await world.clock.advance(100);
  Object.assign(other, { term: 2, epoch: world.master.epoch });
  other.lead('m2', ['mqtt://m2:1883']);
  said.splice(0);
  world.master.term = 2;
  world.master.lead('m2', ['mqtt://m2:1883']);
  await world.until(() => other.of('RESUME').length > 0);
  t.true((other.of('RESUME')[0]?.resources?.length ?? 0) > 0);
  t.is(other.presence.at(-1)?.online, true);
  t.true(said.includes('mesq/agents/pi-1/presence'));
});

test('nobody opens with a leadership that has not said that it takes it, nor where bytes cost nothing', async (t) => {
  for (const metered of [true, false]) {
    const world = new AgentWorld();
    world.more = { metered };
    Object.assign(world.master, { brief: true, opens: !metered });
    await world.up();
    const said: string[] = [];
    world.network.onPublish = (topic) => said.push(topic);
    world.cut();
    await world.until(() => world.master.of('RESUME').length > 0);
    t.is(world.master.of('RESUME')[0]?.session, undefined);
    t.deepEqual(
      said.filter((topic) => topic.endsWith('/presence')).length,
      2,
      'the will of one connection and the presence of the next',
    );
  }
});

test('sent away from its broker and back before anybody led there, it finds its leader all the same', async (t) => {
  const { world } = await known([URL, 'mqtt://m2:1883']);
  const other = world.masterAt('mqtt://m2:1883', world.master.cluster);
  await world.clock.advance(100);
  Object.assign(other, { term: 3, answering: false });
  world.master.term = 2;
  world.master.lead('m2', ['mqtt://m2:1883']);
  const isThere = (): boolean =>
    world.network
      .broker('mqtt://m2:1883')
      .clients()
      .some((client) => client.startsWith('pi-1~'));
  await world.until(isThere);
  // The one that it comes from leads again meanwhile, and says so while it is not there to hear.
  world.master.term = 3;
  world.master.lead('m1', [URL]);
  await world.clock.advance(20);
  other.lead('m1', [URL]);
  world.master.place('after', { argv: program() });
  await world.until(() => world.master.ended('after'), 60_000);
  t.pass();
});
