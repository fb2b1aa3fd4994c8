import test from 'ava';
import type { Timer } from '../../io/clock.ts';
import { BULK } from '../../protocol/agent-link.ts';
import { read, write } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { REPLIES, REQUESTS } from '../../protocol/operator.ts';
import { createClient } from '../../sdk/client.ts';
import type { OutputPiece } from '../../sdk/output-reader.ts';
import { TestMaster, type TestMasterOptions } from '../../sdk/test-master.ts';
import { connectSimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SeededRandom } from '../sim/random.ts';

interface Grant {
  readonly reader: string;
  readonly from: number;
  readonly until: number;
  readonly follow: boolean;
}

function world(seed: number, options: Partial<TestMasterOptions> = {}) {
  const clock = new VirtualClock();
  const random = new SeededRandom(seed);
  const network = new SimulatedNetwork({ clock, random, duplicates: 0.2 });
  const bus = (clientId: string) => connectSimulatedBus(network, { clientId, urls: ['mqtt://broker'] });
  const master = new TestMaster({ bus: bus('master'), clock, random, ...options });
  const client = createClient({ bus: bus('client'), name: 'ann', session: 's1', clock, random });
  const settled = async <Value>(promise: Promise<Value>): Promise<Value> => {
    let done = false;
    const mark = (): void => {
      done = true;
    };
    promise.then(mark, mark);
    await clock.until(() => done);
    return promise;
  };
  return { clock, network, master, client, settled, bus };
}

test('a request is sent again after a lost connection, and answered once', async (t) => {
  let asked = 0;
  const { master, client, network, clock, settled } = world(1, {
    onRequest: () => {
      asked++;
      return { masters: [] };
    },
  });
  await clock.advance(1_000);
  const answer = client.request('masters', {});
  // The master listens only now: what was sent before is lost.
  await clock.advance(100);
  t.is(asked, 0);
  void master.start();
  network.cut('client');
  t.deepEqual(await settled(answer), { masters: [] });
});

test('a broker that is frozen, or cut off without a word, is left for another', async (t) => {
  const clock = new VirtualClock();
  const random = new SeededRandom(3);
  const network = new SimulatedNetwork({ clock, random });
  const urls = ['mqtt://one', 'mqtt://two'];
  const bus = connectSimulatedBus(network, { clientId: 'client', urls });
  const frozen = bus.url;
  const other = urls.find((url) => url !== frozen) ?? '';
  const master = new TestMaster({
    bus: connectSimulatedBus(network, { clientId: 'master', urls: [other] }),
    clock,
    random,
    onRequest: () => ({ masters: [] }),
  });
  const client = createClient({ bus, urls, name: 'ann', session: 's1', clock, random });
  void master.start();
  await clock.until(() => bus.connected);
  network.partition((clientId, url) => clientId === 'client' && url === frozen);
  let answer: unknown;
  void client.request('masters', {}, { timeoutMs: 30_000 }).then((given) => {
    answer = given;
  });
  await clock.until(() => answer !== undefined);
  t.deepEqual(answer, { masters: [] });
  t.is(bus.url, other);
});

test('a master that knows no leader for long, or only an old one, is left for another, asked or not', async (t) => {
  const clock = new VirtualClock();
  const random = new SeededRandom(6);
  const network = new SimulatedNetwork({ clock, random });
  const urls = ['mqtt://one', 'mqtt://two'];
  const masters = urls.map((url) => connectSimulatedBus(network, { clientId: `master ${url}`, urls: [url] }));
  await clock.until(() => masters.every(({ connected }) => connected));
  const says = (at: number, document: object): void => {
    const bytes = new TextEncoder().encode(JSON.stringify({ v: 1, ...document }));
    void masters[at]?.publish('mesq/leader', bytes, { qos: 1, retain: true });
  };
  says(1, { term: 5, leader: 'm2', urls: ['mqtt://two'] });
  const bus = connectSimulatedBus(network, { clientId: 'client', urls });
  const client = createClient({ bus, urls, name: 'ann', session: 's1', clock, random });
  for (const document of [
    { term: 5, leader: null },
    { term: 4, leader: 'm1', urls: ['mqtt://one'] },
  ]) {
    says(0, document);
    await clock.advance(1_000);
    bus.moveTo('mqtt://one');
    await clock.until(() => bus.connected && bus.url === 'mqtt://two' && client.leader() === 'm2', 10_000);
  }
  t.pass();
});

test('what nobody answers ends as NO_LEADER, TIMED_OUT or UNREACHABLE', async (t) => {
  const { master, client, network, clock, settled, bus } = world(2);
  t.like(await settled(client.request('agents', {}, { timeoutMs: 3_000 })), { code: 'NO_LEADER' });
  const leader = new TextEncoder().encode(JSON.stringify({ v: 1, term: 3, leader: 'm1' }));
  await settled(
    bus('other')
      .publish('mesq/leader', leader, { qos: 1, retain: true })
      .catch(() => clock.advance(0)),
  );
  await settled(master.start());
  t.like(await settled(client.request('jobs', {}, { framework: 'batch', timeoutMs: 3_000 })), { code: 'TIMED_OUT' });
  t.like(await settled(client.request('agents', {})), { code: 'NOT_FOUND' });
  network.partition((clientId) => clientId === 'client');
  network.cut('client');
  t.like(await settled(client.request('agents', {}, { timeoutMs: 3_000 })), { code: 'UNREACHABLE' });
});

test('an answer of another shape is a fault', async (t) => {
  const { master, client, settled } = world(3, { onRequest: () => ({ agents: 'none' }) });
  void master.start();
  t.like(await settled(client.request('agents', {})), { code: 'BAD_SHAPE' });
});

/** Serves reads of `file` as an agent does: chunks up to the grant, from what it still has (`head`). */
function serve(file: Uint8Array, head = 0, chunk = 32_768) {
  const grants: Grant[] = [];
  let sending: Timer[] = [];
  let cuts = 0;
  const made = world(4, {
    onRequest: (op, body) => {
      if (op !== 'read') return new Fault('NOT_FOUND');
      const grant = body as Grant;
      grants.push(grant);
      for (const timer of sending) timer.cancel();
      sending = [];
      const first = Math.max(head, grant.from < 0 ? file.length + grant.from : grant.from);
      const until = Math.min(grant.until, file.length);
      // Where everything granted is gone already, an empty piece tells where the rest begins.
      for (let at = first; at === first || at < until; at += chunk) {
        const data = file.slice(at, Math.max(at, Math.min(at + chunk, until)));
        const end = at + data.length === file.length;
        const address = { request: grant.reader, client: 'ann', session: 's1' } as const;
        const chunkBytes = write(BULK, { type: 'CHUNK', ...address, offset: at, data, end });
        // Slow enough that a connection breaks, and comes back, between the pieces of one grant.
        const timer = made.clock.after(((at - first) / chunk) * 5, () => {
          agent.publish('mesq/clients/ann/s1/bulk', chunkBytes, { qos: 1 }).catch(() => {});
        });
        sending.push(timer);
      }
      if (cuts-- > 0) made.clock.after(30, () => made.network.cut('client'));
      return { attempt: 0, agent: 'a1' };
    },
  });
  const agent = made.bus('agent');
  void made.master.start();
  const readAll = async (from?: number): Promise<OutputPiece[]> => {
    const pieces: OutputPiece[] = [];
    for await (const piece of made.client.readOutput({
      framework: 'batch',
      task: 'j.0',
      stream: 'stdout',
      ...(from === undefined ? {} : { from }),
    })) {
      if (piece instanceof Fault) throw new Error(piece.message);
      pieces.push(piece);
    }
    return pieces;
  };
  return {
    ...made,
    grants,
    readAll,
    cutNext: (times: number) => {
      cuts = times;
    },
  };
}

const FILE = Uint8Array.from({ length: 1_500_000 }, (_, at) => (at * 7919) >>> 8);

function bytesOf(pieces: readonly OutputPiece[]): Buffer {
  return Buffer.concat(pieces.map(({ bytes }) => bytes));
}

test('output comes whole and in order, however often the connection breaks', async (t) => {
  const served = serve(FILE, 0, 4_096);
  served.cutNext(7);
  const pieces = await served.settled(served.readAll());
  t.true(bytesOf(pieces).equals(FILE));
  t.true(pieces.every(({ dropped }) => dropped === 0));
  t.is(pieces.at(-1)?.end, true);
  t.true(served.grants.every(({ from, until }) => until - from <= 262_144));
});

test('what the agent has dropped is told', async (t) => {
  const served = serve(FILE, 1_000_000);
  const pieces = await served.settled(served.readAll());
  t.is(pieces[0]?.offset, 1_000_000);
  t.deepEqual(
    pieces.map(({ dropped }) => dropped).filter((dropped) => dropped > 0),
    [1_000_000],
  );
  t.true(bytesOf(pieces).equals(FILE.subarray(1_000_000)));
});

test('the end is read by a negative offset', async (t) => {
  const served = serve(FILE);
  const pieces = await served.settled(served.readAll(-1_000));
  t.true(bytesOf(pieces).equals(FILE.subarray(-1_000)));
});

test('a job that is followed from two beginnings is told from the second: what ended in between is not missed', async (t) => {
  const { client, clock, settled, bus } = world(5);
  const master = bus('scripted');
  const task = (state: 'TASK_RUNNING' | 'TASK_FINISHED') => ({
    ...{ id: 'j.0', framework: 'batch', job: 'j', index: 0, attempt: 0, state, reason: null, message: null },
    ...{ agent: 'a1', exitCode: null, output: null, created: 1, started: 1, finished: null },
  });
  const job = (state: 'running' | 'finished') => ({
    ...{ id: 'j', name: '', owner: 'ann', kind: 'batch', state, created: 1, finished: null },
    tasks: { total: 1, pending: 0, running: 0, finished: 0, failed: 0 },
  });
  const asked = new Promise<string>((resolve) => {
    void master.subscribe('mesq/clients/ann/s1/request', 1, ({ payload }) => {
      const received = read(REQUESTS, payload);
      if (!(received instanceof Fault)) resolve(received.message.request);
    });
  });
  await clock.advance(1_000);
  const told: string[] = [];
  const watching = (async () => {
    for await (const part of client.watch('j', { framework: 'batch' }))
      if (!(part instanceof Fault)) told.push(...part.changed.map(({ state }) => state));
  })();
  const request = await settled(asked);
  const reply = async (part: number, last: boolean, body: object): Promise<void> => {
    const message = write(REPLIES, { type: 'REPLY', request, part, last, body });
    await settled(master.publish('mesq/clients/ann/s1/reply', message, { qos: 1 }));
    await clock.advance(1_000);
  };
  await reply(0, false, { job: job('running'), changed: [task('TASK_RUNNING')] });
  await reply(0, false, { job: job('running'), changed: [task('TASK_FINISHED')] });
  await reply(1, true, { job: job('finished'), changed: [] });
  await settled(watching);
  t.is(told.at(-1), 'TASK_FINISHED');
});
