import test from 'ava';
import { connectAsync } from 'mqtt';
import { Fault } from '../../sdk/index.ts';
import { eventually } from './cluster.ts';
import { Quorum } from './quorum.ts';

test('what cannot be a master, or cannot lead, is refused at once and in words, and nothing comes of it', async (t) => {
  const quorum = await Quorum.start(t, 1);
  const attempts: [string[], number, RegExp][] = [
    [['add', 'm4=http://foo'], 2, /does not say where the broker/],
    [['add', 'm4=mqtt://ann:secret@foo'], 2, /does not say where the broker/],
    [['add'], 2, /takes the id of a master/],
    [['remove', 'm9'], 3, /there is no master m9[\s\S]*mesq masters/],
    [['transfer', 'm9'], 3, /there is no master m9/],
  ];
  for (const [argv, code, message] of attempts) {
    const ended = await quorum.spawn(['masters', ...argv]).ended;
    t.regex(ended.stderr, message);
    t.is(ended.code, code, ended.stderr);
  }
  const other = await quorum.spawn(['masters', 'add', 'm2=mqtt://127.0.0.1:1']).ended;
  t.is(other.code, 1, other.stderr);
  t.regex(other.stderr, /m2 is a master already, at mqtt:.*\n.*remove m2, then add it under another id/);
  t.is((await quorum.spawn(['masters', 'add', `m2=${quorum.urls.get('m2')}`]).ended).code, 0, 'a repeated request');
  const twice = ['--peer', 'm2=mqtt://127.0.0.1:1', '--peer', 'm2=mqtt://127.0.0.1:2'];
  const peers = await quorum.spawn(['master', '--id', 'm9', '--data', quorum.dataOf('m9'), ...twice]).ended;
  t.is(peers.code, 2, peers.stderr);
  t.regex(peers.stderr, /m2 was named before[\s\S]*with commas/);
  await quorum.until((masters) => masters.every(({ version }) => /^\d/.test(version)) || undefined);
  const client = await quorum.client();
  const answer = await client.request('masters-add', { id: 'm4', urls: ['http://foo'] });
  t.true(answer instanceof Fault && answer.code === 'BAD_SHAPE', JSON.stringify(answer));
  t.is((await quorum.spawn(['run', '--', 'true']).ended).code, 0);

  // Whoever is connected to a master that follows is cut there, too: it may lead soon.
  const created = await client.request('token-create', { role: 'viewer', name: 'eve' });
  const leader = await quorum.leader();
  const [url = ''] = [...quorum.urls].flatMap(([id, each]) => (id === leader ? [] : [each]));
  t.false(created instanceof Fault);
  const [username = '', password = ''] = (created as { token: string }).token.split(':');
  // That master may not have heard of the token yet.
  const eve = await eventually(() =>
    connectAsync(url, { username, password, clientId: 'eve/1', reconnectPeriod: 0 }).catch(() => undefined),
  );
  const cut = new Promise<void>((resolve) => eve.once('close', () => resolve()));
  t.false((await client.request('token-revoke', { token: 'eve' })) instanceof Fault);
  await cut;
  eve.end(true);
});

test('a master that is down is not handed the lead', async (t) => {
  const quorum = await Quorum.start(t, 1);
  const leader = await quorum.leader();
  const [down = ''] = [...quorum.urls.keys()].filter((id) => id !== leader);
  await quorum.masters.get(down)?.end('SIGKILL');
  await quorum.until((masters) => masters.find(({ id, role }) => id === down && role === 'unreachable'));
  const refused = await quorum.spawn(['masters', 'transfer', down]).ended;
  t.is(refused.code, 1, refused.stderr);
  t.regex(refused.stderr, /is not reached/);
});
