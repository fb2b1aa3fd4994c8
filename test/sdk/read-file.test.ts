import test from 'ava';
import { BULK } from '../../protocol/agent-link.ts';
import { write } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { createClient } from '../../sdk/client.ts';
import { TestMaster } from '../../sdk/test-master.ts';
import { connectSimulatedBus } from '../sim/bus.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedNetwork } from '../sim/network.ts';
import { SeededRandom } from '../sim/random.ts';

interface Grant {
  readonly reader: string;
  readonly path: string;
  readonly from: number;
  readonly until: number;
}

const FILE = Uint8Array.from({ length: 900_000 }, (_, at) => (at * 7919) >>> 8);
const CHUNK = 8_192;

/** An agent that serves a file as it is at each grant; undefined: says nothing. */
function serve(fileAt: (grant: number) => { inode: string; bytes: Uint8Array } | undefined) {
  const clock = new VirtualClock();
  const random = new SeededRandom(11);
  const network = new SimulatedNetwork({ clock, random, duplicates: 0.2 });
  const bus = (clientId: string) => connectSimulatedBus(network, { clientId, urls: ['mqtt://broker'] });
  const agent = bus('agent');
  const grants: Grant[] = [];
  let cuts = 0;
  const master = new TestMaster({
    bus: bus('master'),
    clock,
    random,
    onRequest: (op, body) => {
      if (op !== 'read-file') return new Fault('UNKNOWN_TYPE');
      const grant = body as Grant;
      const file = fileAt(grants.length);
      grants.push(grant);
      if (file !== undefined) answer(grant, file);
      if (cuts-- > 0) clock.after(30, () => network.cut('client'));
      return { attempt: 3, agent: 'a1' };
    },
  });
  const answer = ({ reader, from, until }: Grant, { inode, bytes }: { inode: string; bytes: Uint8Array }): void => {
    const last = Math.min(until, bytes.length);
    for (let at = from, delay = 1; at === from || at < last; at += CHUNK, delay++) {
      const data = bytes.slice(at, Math.min(last, at + CHUNK));
      const end = at + data.length >= bytes.length;
      const to = { request: reader, client: 'ann', session: 's1' };
      const chunk = { type: 'CHUNK' as const, ...to, offset: at, data, end, file: { inode, size: bytes.length } };
      clock.after(delay, () => void agent.publish('mesq/clients/ann/s1/bulk', write(BULK, chunk), { qos: 1 }));
    }
  };
  const client = createClient({ bus: bus('client'), name: 'ann', session: 's1', clock, random });
  void master.start();
  /** The whole file, or what went wrong. */
  const fetch = async (): Promise<Buffer | Fault> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of client.readFile({ framework: 'batch', task: 'j.0', path: 'out/a' })) {
      if (piece instanceof Fault) return piece;
      pieces.push(piece.bytes);
    }
    return Buffer.concat(pieces);
  };
  const fetched = async (): Promise<Buffer | Fault> => {
    let done: Buffer | Fault | undefined;
    void fetch().then((result) => {
      done = result;
    });
    await clock.until(() => done !== undefined);
    return done ?? new Fault('TIMED_OUT');
  };
  return {
    grants,
    fetched,
    cutNext: (times: number) => {
      cuts = times;
    },
  };
}

test('a file comes whole, however often the connection breaks, and is granted bit by bit', async (t) => {
  const served = serve(() => ({ inode: '7', bytes: FILE }));
  served.cutNext(5);
  const bytes = await served.fetched();
  t.true(!(bytes instanceof Fault) && bytes.equals(FILE));
  t.true(served.grants.every(({ from, until, path }) => until - from <= 262_144 && path === 'out/a'));
});

test('of a file that grows while it is read, what there was at the beginning is read', async (t) => {
  const served = serve((grant) => ({ inode: '7', bytes: FILE.subarray(0, 400_000 + grant * 100_000) }));
  const bytes = await served.fetched();
  t.true(!(bytes instanceof Fault) && bytes.equals(FILE.subarray(0, 400_000)));
});

test('an empty file is a file', async (t) => {
  const bytes = await serve(() => ({ inode: '7', bytes: new Uint8Array() })).fetched();
  t.true(!(bytes instanceof Fault) && bytes.length === 0);
});

test('a file that was replaced, or became shorter, is no mixture of both', async (t) => {
  const replaced = await serve((grant) => ({ inode: grant === 0 ? '7' : '8', bytes: FILE })).fetched();
  t.true(replaced instanceof Fault && replaced.code === 'CONFLICT' && /was replaced/.test(replaced.message));
  const shorter = await serve((grant) => ({ inode: '7', bytes: FILE.subarray(0, grant === 0 ? 900_000 : 300_000) }));
  const fault = await shorter.fetched();
  t.true(fault instanceof Fault && fault.code === 'CONFLICT' && /became shorter/.test(fault.message));
});

test('an agent that knows no files is not waited for without end', async (t) => {
  const fault = await serve(() => undefined).fetched();
  t.true(fault instanceof Fault && fault.code === 'TIMED_OUT' && /sent nothing of the file/.test(fault.message));
});
