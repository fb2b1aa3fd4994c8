import test from 'ava';
import { BusError, type Log, type Scheduler } from '../../sdk/index.ts';
import { connectClient, connectScheduler } from '../../sdk/node.ts';
import { startCluster } from '../../tools/cluster.ts';
import { MESQ } from '../e2e/cluster.ts';

function ignore(): void {}

test('one connection has a name: a second one stands by, and takes over when the first ends', async (t) => {
  const cluster = await startCluster(MESQ);
  t.teardown(() => cluster.stop());
  const heard: string[] = [];
  const waiting = new Map<string, () => void>();
  const happens = (what: string): Promise<void> =>
    heard.includes(what) ? Promise.resolve() : new Promise((resolve) => waiting.set(what, resolve));
  const happened = (what: string): void => {
    heard.push(what);
    waiting.get(what)?.();
  };
  const connect = (who: string) => {
    const scheduler: Scheduler = {
      registered: () => happened(`${who} registered`),
      reregistered: ignore,
      resourceOffers: ignore,
      statusUpdate: ignore,
      wantsOffers: () => false,
      error: (_driver, { code }) => happened(`${who} ${code}`),
    };
    const log: Log = {
      ...{ debug: ignore, info: ignore, error: ignore },
      warn: (event) => happened(`${who} ${event}`),
    };
    return connectScheduler({ url: cluster.url, name: 'twin', roles: ['*'], scheduler, log });
  };
  const first = connect('first');
  const firstEnd = first.run();
  await happens('first registered');
  const second = connect('second');
  const secondEnd = second.run();
  await happens('second scheduler-waits');
  t.false(heard.includes('second registered'));

  const { client, close } = await connectClient({ url: cluster.url, name: 'onlooker' });
  const frameworks = await client.request('frameworks', {});
  await close();
  t.true(
    'frameworks' in frameworks && frameworks.frameworks.some(({ id, state }) => id === 'twin' && state === 'active'),
  );

  first.stop();
  t.is(await firstEnd, 'DRIVER_STOPPED');
  await happens('second registered');
  second.abort();
  t.is(await secondEnd, 'DRIVER_ABORTED');
  t.false(
    heard.some((what) => / [A-Z_]+$/.test(what)),
    'waiting is no error',
  );
});

test('a wrong secret is told as BAD_CREDENTIALS; what cannot be a connection throws', async (t) => {
  const cluster = await startCluster(MESQ, ['--agents', '1']);
  t.teardown(() => cluster.stop());
  const scheduler: Scheduler = {
    registered: () => t.fail(),
    reregistered: ignore,
    resourceOffers: ignore,
    statusUpdate: ignore,
    error: (driver, { code }) => {
      t.is(code, 'BAD_CREDENTIALS');
      driver.abort();
    },
  };
  const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const options = { roles: ['*'], scheduler, log };
  const driver = connectScheduler({ ...options, url: cluster.url, token: 'somebody:guessed' });
  t.is(await driver.run(), 'DRIVER_ABORTED');
  const refused = (url: string, token?: string) =>
    t.throws(() => connectScheduler({ ...options, url, ...(token === undefined ? {} : { token }) }), {
      instanceOf: BusError,
    })?.code;
  t.is(refused(cluster.url), 'BAD_CREDENTIALS');
  t.is(refused('http://127.0.0.1', 'a:b'), 'BAD_URL');
  t.is(refused('mqtt://192.0.2.1:1883', 'a:b'), 'INSECURE');
});
