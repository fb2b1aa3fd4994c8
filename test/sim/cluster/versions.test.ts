import test from 'ava';
import { ClusterSimulation } from './cluster-simulation.ts';

const CALM = {
  masters: 3,
  agents: 1,
  loss: 0,
  duplicates: 0,
  tail: { chance: 0, ms: 0 },
  disk: { ms: 0.2, stallMs: 0 },
  clockError: 0,
  newer: 0,
  restores: false,
  changes: false,
  spiteful: false,
};

test('a command that one of the masters does not know yet is not proposed, and is once it does', async (t) => {
  const simulation = new ClusterSimulation(1, CALM);
  const { masters, agents, client, clock, network, audit, transcript } = simulation;
  const members = masters.map(({ id, url }) => ({ id, urls: [url] }));
  const refused = (): number => transcript.filter((line) => line.includes('proposal refused')).length;
  let older = false;
  const heard = network.onPublish;
  network.onPublish = (topic, payload, retain) => {
    // For a master that knows nothing every command is a new one.
    const said =
      older && topic.endsWith('/raft/m3') ? Buffer.from(payload.buffer, payload.byteOffset).indexOf('knows') : -1;
    if (said >= 0) payload[said + 'knows'.length] = 0;
    heard(topic, payload, retain);
  };
  for (const master of masters) Object.assign(master, { peers: members }).start();
  for (const agent of agents) agent.start();
  client.start();
  await clock.until(() => client.acknowledged.size > 0);
  // Who does not ask itself is the one that is behind.
  void client.client.request('masters-transfer', { master: 'm1' });
  await clock.advance(5_000);
  older = true;
  await clock.until(() => refused() > 0, 60_000);
  t.true(transcript.some((line) => /m1 proposal refused .*code=VERSION message=not known to m3/.test(line)));
  await clock.advance(1_000);
  const index = audit.latestIndex;
  await clock.advance(30_000);
  t.is(audit.latestIndex, index, 'nothing is written that m3 could not read');
  older = false;
  const before = client.acknowledged.size;
  await clock.until(() => client.acknowledged.size > before);
  t.deepEqual(audit.violations, []);
});
