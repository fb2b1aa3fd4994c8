import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { vouchedFor } from '../io/self-signed.ts';
import { quietPort } from '../quiet-port.ts';
import { endAll, eventually, MESQ, type Running, start } from './cluster.ts';

/** Three masters behind TLS, certificates of one authority, and a key in a file; undefined where openssl is missing. */
async function three(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-masters-tls-'));
  t.teardown(async () => {
    await endAll(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  const ids = ['m1', 'm2', 'm3'];
  if (!vouchedFor(folder, ids)) {
    t.log('openssl is not installed: masters were not tried over TLS');
    t.not(process.env['CI'], 'true');
    return undefined;
  }
  await writeFile(join(folder, 'key'), 'a long random line that the three masters share\n', { mode: 0o600 });
  await writeFile(join(folder, 'other-key'), 'a long random line that somebody else has made up\n', { mode: 0o600 });
  const ports = new Map<string, number>();
  for (const id of ids) ports.set(id, await quietPort());
  const urlOf = (id: string): string => `mqtts://localhost:${ports.get(id)}`;
  const spawn = (argv: readonly string[]): Running =>
    start(process.execPath, [MESQ, ...argv], { XDG_STATE_HOME: folder });
  const master = (id: string, key = 'key'): Running => {
    const peers = ids.filter((peer) => peer !== id).flatMap((peer) => ['--peer', `${peer}=${urlOf(peer)}`]);
    const own = ['--listen', `mqtts://127.0.0.1:${ports.get(id)}`, '--advertise', urlOf(id)];
    const tls = ['--tls-cert', join(folder, `${id}.pem`), '--tls-key', join(folder, `${id}.key`)];
    const shared = ['--tls-ca', join(folder, 'ca.pem'), '--cluster-key', join(folder, key)];
    return spawn(['master', '--id', id, '--data', join(folder, id), ...own, ...tls, ...shared, ...peers]);
  };
  const asked = (verb: string, ...argv: string[]): Running =>
    spawn([verb, ...argv, '--url', ids.map(urlOf).join(','), '--ca', join(folder, 'ca.pem')]);
  /** The operator's, from the data folder of whoever led first. */
  const token = (): Promise<string> =>
    eventually(async () => {
      for (const id of ids) {
        const text = await readFile(join(folder, id, 'operator-token'), 'utf8').catch(() => '');
        if (text.endsWith('\n')) return text.trim();
      }
      return undefined;
    });
  return { master, asked, token };
}

test('three masters behind TLS find each other, elect a leader, and another when it dies', async (t) => {
  const cluster = await three(t);
  if (cluster === undefined) return;
  const masters = new Map(['m1', 'm2', 'm3'].map((id) => [id, cluster.master(id)]));
  const token = await cluster.token();
  const views = async (): Promise<{ id: string; role: string }[]> => {
    const { code, stdout } = await cluster.asked('masters', '--json', '--token', token).ended;
    return code === 0 ? (JSON.parse(stdout) as { id: string; role: string }[]) : [];
  };
  const leader = await eventually(async () => {
    const all = await views();
    const whole = all.length === 3 && all.every(({ role }) => role !== 'unreachable');
    return whole ? all.find(({ role }) => role === 'leader')?.id : undefined;
  });
  await masters.get(leader)?.end('SIGKILL');
  const next = await eventually(async () => (await views()).find(({ id, role }) => role === 'leader' && id !== leader));
  t.truthy(next);
});

test('a master with another key is refused, on both sides aloud', async (t) => {
  const cluster = await three(t);
  if (cluster === undefined) return;
  const first = cluster.master('m1');
  cluster.master('m2');
  const stranger = cluster.master('m3', 'other-key');
  await stranger.said(/error a master refuses this one: is its --cluster-key the same\? master=m1/);
  await first.said(/error refused a master: is its --cluster-key the same as here\? master=m3/);
  await stranger.end('SIGKILL');
  cluster.master('m3');
  await first.said(/(leading|following leader=)/);
  t.pass('and with the key of the others it is let in');
});
