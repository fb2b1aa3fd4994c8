import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type RunningMaster, startMaster } from '../../cli/start-master.ts';
import type { ClientTls } from '../../io/node/broker-stream.ts';
import { systemClock } from '../../io/node/clock.ts';
import { createLog } from '../../io/node/log.ts';
import { connectMqttBus, type MqttBus } from '../../io/node/mqtt-bus.ts';
import { systemRandom } from '../../io/node/random.ts';
import { Fault } from '../../protocol/faults.ts';
import { selfSigned } from '../io/self-signed.ts';

const LONG_MS = 60_000;

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mesq-credentials-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

function client(
  t: ExecutionContext,
  url: string,
  over: { clientId?: string; username?: string; password?: string } & ClientTls = {},
): MqttBus {
  const bus = connectMqttBus({
    clientId: 'ann/s1',
    urls: [url],
    clock: systemClock,
    random: systemRandom,
    log: createLog({ level: 'error' }),
    ...over,
  });
  t.teardown(() => bus.close());
  return bus;
}

async function master(
  t: ExecutionContext,
  listen: string,
  over: { tlsCert?: string; tlsKey?: string; clientCa?: string } = {},
): Promise<{ running: RunningMaster; token: string }> {
  const data = await folder(t);
  const running = await startMaster({ id: 'm1', data, listen: [listen], version: '0.0.0', logLevel: 'error', ...over });
  if (running instanceof Fault) throw running;
  t.teardown(() => running.stop());
  for (;;) {
    const token = await readFile(join(data, 'operator-token'), 'utf8').catch(() => '');
    if (token !== '') return { running, token: token.trim().split(':')[1] ?? '' };
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a listener in plain text beyond this machine is refused, whatever its scheme', async (t) => {
  for (const listen of ['mqtt://0.0.0.0:0', 'mqtt://[::]:0', 'ws://0.0.0.0:0']) {
    const started = await startMaster({ id: 'm1', data: await folder(t), listen: [listen], version: '0.0.0' });
    t.is(started instanceof Fault ? started.code : 'started', 'INSECURE', listen);
  }
  const web = await startMaster({ id: 'm1', data: await folder(t), listen: [], http: '0.0.0.0:0', version: '0.0.0' });
  t.is(web instanceof Fault ? web.code : 'started', 'INSECURE');
});

test('on loopback a name without a token may speak, a name that has one may not without it', async (t) => {
  const { running, token } = await master(t, 'mqtt://127.0.0.1:0');
  const [url = ''] = running.urls;
  await client(t, url).ready(LONG_MS);
  // The token's record may still be on its way to the disk: it counts from then on.
  for (;;) {
    const operator = client(t, url, { clientId: 'operator/s1', username: 'operator', password: token });
    const refused = await operator.ready(LONG_MS).then(
      () => false,
      () => true,
    );
    await operator.close();
    if (!refused) break;
  }
  await t.throwsAsync(client(t, url, { clientId: 'operator/s2' }).ready(LONG_MS), { code: 'BAD_CREDENTIALS' });
  const guess = client(t, url, { clientId: 'operator/s3', username: 'operator', password: 'guess' });
  await t.throwsAsync(guess.ready(LONG_MS), { code: 'BAD_CREDENTIALS' });
});

test('beyond this machine TLS and a token are asked for, of neighbours on loopback too', async (t) => {
  const made = selfSigned();
  if (made === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const files = await folder(t);
  const tlsCert = join(files, 'cert.pem');
  const tlsKey = join(files, 'key.pem');
  await writeFile(tlsCert, made.cert);
  await writeFile(tlsKey, made.key);
  const { running, token } = await master(t, 'mqtts://0.0.0.0:0', { tlsCert, tlsKey });
  const url = `mqtts://localhost:${new URL(running.urls[0] ?? '').port}`;
  const known = { clientId: 'operator/s1', username: 'operator', password: token, ca: made.cert };
  for (;;) {
    const operator = client(t, url, known);
    const refused = await operator.ready(LONG_MS).then(
      () => false,
      () => true,
    );
    if (!refused) break;
    await operator.close();
  }
  await t.throwsAsync(client(t, url, { ca: made.cert }).ready(LONG_MS), { code: 'BAD_CREDENTIALS' });
});

test('a certificate of the agent that connects is as good as a token, for that agent alone', async (t) => {
  const [made, strange] = [selfSigned(), selfSigned()];
  if (made === undefined || strange === undefined) {
    t.log('openssl is not installed: TLS was not checked');
    t.not(process.env['CI'], 'true');
    return;
  }
  const files = await folder(t);
  const [tlsCert, tlsKey] = [join(files, 'cert.pem'), join(files, 'key.pem')];
  await writeFile(tlsCert, made.cert);
  await writeFile(tlsKey, made.key);
  const { running } = await master(t, 'mqtts://0.0.0.0:0', { tlsCert, tlsKey, clientCa: tlsCert });
  const url = `mqtts://localhost:${new URL(running.urls[0] ?? '').port}`;
  // The certificate is its own authority, and says `localhost`.
  const shown = { ca: made.cert, certificate: made.cert, key: made.key };
  const bus = client(t, url, { clientId: 'localhost~1', username: 'localhost', ...shown });
  await bus.ready(LONG_MS);
  await bus.subscribe('mesq/agents/localhost/down', 1, () => undefined);
  await t.throwsAsync(
    bus.subscribe('mesq/agents/other/down', 1, () => undefined),
    { code: 'NOT_ALLOWED' },
  );
  await t.throwsAsync(
    bus.subscribe('mesq/state/#', 1, () => undefined),
    { code: 'NOT_ALLOWED' },
  );
  const refused = { code: 'BAD_CREDENTIALS' };
  const other = client(t, url, { clientId: 'other~1', username: 'other', ...shown });
  await t.throwsAsync(other.ready(LONG_MS), refused, 'another name');
  const unknown = { ca: made.cert, certificate: strange.cert, key: strange.key };
  const stranger = client(t, url, { clientId: 'localhost~1', username: 'localhost', ...unknown });
  await t.throwsAsync(stranger.ready(LONG_MS), refused, 'of another authority');
  const none = client(t, url, { clientId: 'localhost~1', username: 'localhost', ca: made.cert });
  await t.throwsAsync(none.ready(LONG_MS), refused, 'no certificate at all');
});
