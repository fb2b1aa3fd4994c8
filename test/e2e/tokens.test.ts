import { spawnSync } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { connectAsync } from 'mqtt';
import { Cluster, eventually, MESQ, start } from './cluster.ts';
import { securedMaster } from './secured-master.ts';

/** A master that listens on TLS too, with a certificate of its own making, and a token of each role. */
async function secured(t: Parameters<typeof Cluster.start>[0]) {
  const cluster = await Cluster.start(t, {});
  const { certificate, secure } = await securedMaster(cluster);
  const token = async (role: string, name: string): Promise<string> =>
    (await cluster.json<{ token: string }>('token', 'create', '--role', role, '--name', name)).token;
  return { cluster, certificate, secure, token };
}

test('an agent, a user and a viewer with tokens over TLS, each within its rights; a revoked token is cut', async (t) => {
  const { cluster, certificate, secure, token } = await secured(t);
  const over = (secret: string): NodeJS.ProcessEnv => ({ MESQ_URL: secure, MESQ_TOKEN: secret });
  const agent = start(
    process.execPath,
    [
      ...[MESQ, 'agent', '--master', secure, '--ca', certificate, '--name', 'pi-1', '--data', cluster.dataOf('pi-1')],
      ...['--resources', 'cpus:2;mem:256'],
    ],
    { MESQ_TOKEN: await token('agent', 'pi-1') },
  );
  cluster.agents.set('pi-1', agent);
  await cluster.active('pi-1');

  const [alice, bob, eve] = [await token('user', 'alice'), await token('user', 'bob'), await token('viewer', 'eve')];
  const as = (secret: string, ...argv: string[]): ReturnType<typeof start>['ended'] =>
    cluster.spawn([argv[0] ?? '', '--ca', certificate, ...argv.slice(1)], over(secret)).ended;
  t.is((await as(alice, 'run', '--', 'echo', 'hello')).stdout, 'hello\n');
  const { stdout } = await as(alice, 'run', '--detach', '--', 'sleep', '600');
  const job = stdout.trim();
  t.is((await as(bob, 'cancel', job)).code, 7, "somebody else's job");
  t.is((await as(eve, 'cancel', job)).code, 7, 'a viewer changes nothing');
  t.is((await as(eve, 'jobs')).code, 0);
  t.is((await as(bob, 'gone', 'pi-1')).code, 7);
  t.is((await as(alice, 'cancel', job)).code, 0);
  t.is((await as('alice:wrong', 'jobs')).code, 7);
  t.is((await cluster.spawn(['jobs', '--ca', certificate], { MESQ_URL: secure, MESQ_TOKEN: eve }).ended).code, 0);
  t.is((await cluster.spawn(['jobs'], over(eve)).ended).code, 6, 'a certificate that nobody vouches for');

  t.is((await cluster.mesq('token', 'revoke', '--name', 'pi-1')).code, 0);
  await agent.said(/refused the user name or password/);
  t.is(agent.process.exitCode, null, 'it carries on alone, and asks again');
});

test('secrets are in no file that others read, in no log, and kept as hashes', async (t) => {
  const { cluster, token } = await secured(t);
  const secret = (await token('user', 'alice')).split(':')[1] ?? '';
  const first = await readFile(join(cluster.folder, 'm1', 'operator-token'), 'utf8');
  t.is((await stat(join(cluster.folder, 'm1', 'operator-token'))).mode & 0o777, 0o600);
  t.is((await stat(join(cluster.folder, 'm1'))).mode & 0o777, 0o700);
  t.is(spawnSync('grep', ['-rlF', secret, cluster.folder], { encoding: 'utf8' }).stdout, '', 'it is on the disk');
  t.false((cluster.master?.stderr() ?? '').includes(secret));
  t.false((cluster.master?.stderr() ?? '').includes(first.split(':')[1] ?? ''));
});

test('MQTT Explorer: a viewer subscribes # and $SYS/#, and receives what it may, and nothing else', async (t) => {
  const { cluster, certificate, secure, token } = await secured(t);
  await cluster.startAgent('a1');
  const eve = await token('viewer', 'eve');
  const explorer = await connectAsync(secure, {
    clientId: 'mqtt-explorer-1234',
    username: 'eve',
    password: eve.split(':')[1] ?? '',
    ca: await readFile(certificate),
  });
  t.teardown(() => explorer.endAsync(true));
  const seen = new Set<string>();
  explorer.on('message', (topic) => seen.add(topic));
  const granted = await explorer.subscribeAsync(['#', '$SYS/#'], { qos: 0 });
  t.deepEqual(
    granted.map(({ qos }) => qos),
    [0, 0],
  );
  t.is((await cluster.mesq('run', '--', 'true')).code, 0);
  const wanted = [
    /^mesq\/leader$/,
    /^mesq\/state\/agents\/a1$/,
    /^mesq\/state\/tasks\//,
    /^mesq\/events\//,
    /^\$SYS\/broker\//,
  ];
  await eventually(() => wanted.every((pattern) => [...seen].some((topic) => pattern.test(topic))) || undefined);
  const foreign = [...seen].filter((topic) => !/^(mesq\/(leader|state\/|events\/)|\$SYS\/broker\/)/.test(topic));
  t.deepEqual(foreign, []);
  await explorer.publishAsync('mesq/state/agents/a1', '', { qos: 1, retain: true });
  t.is((await cluster.mesq('agents')).code, 0);
});
