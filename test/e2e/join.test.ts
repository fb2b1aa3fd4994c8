import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Cluster, copyMachine, eventually, MESQ, type Running, start, survivors } from './cluster.ts';
import { securedMaster } from './secured-master.ts';

/** A cluster on TLS, and boards: each with a machine-id of its own, and nothing but the join token that it is started with. */
async function site(t: ExecutionContext) {
  const cluster = await Cluster.start(t, {});
  const { secure, certificate } = await securedMaster(cluster);
  const board = async (
    name: string,
    { token, more = [] }: { token?: string; more?: readonly string[] } = {},
  ): Promise<Running> => {
    const root = join(cluster.folder, `machine-${name}`);
    await mkdir(root, { recursive: true });
    const sysroot = await copyMachine(root, { machine: createHash('md5').update(name).digest('hex') });
    const argv = ['agent', '--master', secure, '--ca', certificate, '--data', cluster.dataOf(name)];
    const agent = start(
      process.execPath,
      [MESQ, ...argv, '--sysroot', sysroot, '--resources', 'cpus:1;mem:64', ...more],
      { MESQ_TOKEN: token },
    );
    cluster.agents.set(name, agent);
    return agent;
  };
  const tokenOf = async (...argv: string[]): Promise<string> =>
    (await cluster.json<{ token: string }>('token', 'create', '--role', 'join', ...argv)).token;
  const names = async (): Promise<string[]> =>
    (await cluster.json<{ name: string; state: string }[]>('agents'))
      .filter(({ state }) => state === 'active')
      .map(({ name }) => name)
      .sort();
  return { cluster, secure, certificate, board, tokenOf, names };
}

const joinedAs = async (agent: Running): Promise<string> => (await agent.said(/agent (\S+) offers/))[1] ?? '';

test('one token lets boards in over TLS, each with a credential of its own that works without it', async (t) => {
  const { cluster, board, tokenOf, names } = await site(t);
  const token = await tokenOf('--name', 'roof', '--uses', '2');
  const one = await board('b1', { token });
  const first = await joinedAs(one);
  const second = await joinedAs(await board('b2', { token }));
  t.is(second, `${first}-2`, 'two boards of one hostname');
  await eventually(async () => (await names()).length === 2 || undefined);
  const late = await (await board('b3', { token })).ended;
  t.is(late.code, 7, late.stderr);
  t.regex(late.stderr, /2 boards have joined/);

  const path = join(cluster.dataOf('b1'), 'credential.json');
  t.is((await stat(path)).mode & 0o777, 0o600);
  const { name, secret } = JSON.parse(await readFile(path, 'utf8')) as { name: string; secret: string };
  t.is(name, first);
  const holders = spawnSync('grep', ['-rlF', secret, cluster.folder], { encoding: 'utf8' }).stdout.trim();
  t.is(holders, path, 'its secret is nowhere else');
  t.is(spawnSync('grep', ['-rlF', token.split(':')[1] ?? '', cluster.folder]).stdout.toString(), '');

  t.is((await cluster.mesq('token', 'revoke', '--name', 'roof')).code, 0);
  await one.end('SIGTERM');
  t.is(await joinedAs(await board('b1')), first);
  await eventually(async () => (await names()).includes(first) || undefined);
});

test('a join token does nothing but join, and a credential is of no use on another board', async (t) => {
  const { cluster, board, certificate, secure, tokenOf } = await site(t);
  const token = await tokenOf('--name', 'roof');
  const as = (secret: string, ...argv: string[]): Running['ended'] =>
    start(process.execPath, [MESQ, ...argv, '--ca', certificate], { MESQ_URL: secure, MESQ_TOKEN: secret }).ended;
  for (const argv of [['agents'], ['ps'], ['token', 'list'], ['gone', 'b1'], ['jobs'], ['run', '--detach', 'true']])
    t.true([7, 125].includes((await as(token, ...argv)).code), argv.join(' '));

  const one = await board('b1', { token, more: ['--name', 'attic'] });
  t.is(await joinedAs(one), 'attic');
  const taken = await (await board('b2', { token, more: ['--name', 'attic'] })).ended;
  t.regex(taken.stderr, /attic belongs to another.*\n.*attic-2 is free/);

  await mkdir(cluster.dataOf('thief'), { recursive: true, mode: 0o700 });
  await copyFile(join(cluster.dataOf('b1'), 'credential.json'), join(cluster.dataOf('thief'), 'credential.json'));
  await one.end('SIGTERM');
  const thief = await (await board('thief')).ended;
  t.is(thief.code, 1);
  t.regex(thief.stderr, /given to another machine/);

  t.is((await cluster.mesq('token', 'revoke', '--name', 'attic')).code, 0);
  const revoked = await (await board('b1', { token })).ended;
  t.is(revoked.code, 7, 'who was revoked does not join again by itself');
  await writeFile(join(cluster.dataOf('b1'), 'credential.json'), '{"format":2}');
  const newer = await (await board('b1', { token })).ended;
  t.regex(newer.stderr, /credential.json/);
});

test('a machine that shows nothing to bind a credential to is told so, before it shows its join token', async (t) => {
  const { cluster, tokenOf } = await site(t);
  const token = await tokenOf('--name', 'roof');
  const argv = ['agent', '--data', cluster.dataOf('b9'), '--sysroot', cluster.folder];
  const { code, stderr } = await cluster.spawn([MESQ, ...argv].slice(1), { MESQ_TOKEN: token }).ended;
  t.is(code, 1);
  t.regex(stderr, /neither a machine-id nor a serial number/);
  t.deepEqual(await survivors(cluster.dataOf('b9')), [], 'the launcher of an agent that never ran is ended');
});

test('a join token does not travel in plain text beyond this machine', async (t) => {
  const { cluster, tokenOf } = await site(t);
  const token = await tokenOf('--name', 'roof');
  const argv = ['agent', '--master', 'mqtt://192.0.2.1:1883', '--data', cluster.dataOf('b9')];
  const { code, stderr } = await start(process.execPath, [MESQ, ...argv], { MESQ_TOKEN: token }).ended;
  t.is(code, 7);
  t.regex(stderr, /plain/);
});
