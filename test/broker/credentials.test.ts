import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type RunningMaster, startMaster } from '../../cli/start-master.ts';
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
  over: { clientId?: string; username?: string; password?: string; ca?: string } = {},
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
  over: { tlsCert?: string; tlsKey?: string } = {},
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
