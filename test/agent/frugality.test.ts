import { brotliCompressSync, deflateRawSync } from 'node:zlib';
import test from 'ava';
import { Accounts } from '../../agent/accounts/accounts.ts';
import { DayBucket } from '../../agent/accounts/day-bucket.ts';
import { connectBytes, keepAliveBytes, messageBytes } from '../../agent/accounts/wire.ts';
import { METERED_PACE, significanceOf } from '../../agent/reporting/significance.ts';
import { systemBrotli, systemDeflate } from '../../io/node/compression.ts';
import { systemInflate, systemUnbrotli } from '../../io/node/inflate.ts';
import type { Chunk } from '../../protocol/agent-link.ts';
import { resourcesOf } from '../resources-of.ts';
import { AgentWorld, program } from './world.ts';

const HOUR = 3_600_000;
const READ = { request: 'r1', client: 'ann', session: 's1', framework: 'batch', task: 'a', attempt: 0 };
const STDOUT = { type: 'READ', ...READ, stream: 'stdout', from: 0, until: 1_000_000, follow: false };

test('a budget begins full, fills evenly, never holds more than a day, and nobody runs into debt', (t) => {
  const bucket = new DayBucket(2_400, 1_000);
  t.is(bucket.waitMs(2_400, 1_000), 0);
  bucket.spend(2_400, 1_000);
  t.is(bucket.waitMs(100, 1_000), HOUR);
  t.is(bucket.waitMs(100, 1_000 + HOUR / 2), HOUR / 2);
  t.is(bucket.waitMs(100, 1_000 + HOUR), 0);
  t.is(bucket.waitMs(1_000_000, 1_000 + HOUR), 23 * HOUR, 'more than a day holds waits for a whole one');
  bucket.spend(500, 1_000 + HOUR);
  t.deepEqual(bucket.state(1_000 + HOUR), { aDay: 2_400, left: 0, spent: 2_900, over: 400 });
  t.is(bucket.state(1_000 + 100 * HOUR).left, 2_400);
  t.is(bucket.state(1_000).left, 2_400, 'a time before the last one takes nothing back');
});

test('without a budget everything may be spent, and is counted', (t) => {
  const bucket = new DayBucket(undefined, 0);
  bucket.spend(1_000_000_000, 0);
  t.is(bucket.waitMs(1_000_000_000, 0), 0);
  t.deepEqual(bucket.state(0), { aDay: undefined, left: undefined, spent: 1_000_000_000, over: 0 });
});

test('what crosses the link is counted by kind, with what carries it', (t) => {
  const tls = { tls: true };
  const accounts = new Accounts(tls);
  accounts.connected();
  accounts.carried('controlUp', 100, 20);
  accounts.carried('controlDown', 50, 20);
  accounts.carried('bulk', 30_000, 20);
  const told = {
    upMs: 5,
    keepAlives: 3,
    budget: new DayBucket(undefined, 0).state(0),
    log: { lines: 0, dropped: 0 },
    process: null,
  };
  const { link } = accounts.stats(told);
  t.like(link, {
    connects: 1,
    keepAlives: 3,
    controlUp: { messages: 1, bytes: 100 },
    controlDown: { messages: 1, bytes: 50 },
    bulk: { messages: 1, bytes: 30_000 },
    presence: { messages: 0, bytes: 0 },
  });
  const messages = messageBytes(100, 20, tls) + messageBytes(50, 20, tls) + messageBytes(30_000, 20, tls);
  t.is(link.wireBytes, messages + connectBytes(tls) + 3 * keepAliveBytes(tls));
  t.true(messageBytes(100, 20, tls) > messageBytes(100, 20, { tls: false }));
});

test('a change that drift explains is insignificant; where bytes cost, more of it is, and the rest can wait', (t) => {
  const machine = (text: string) => ({ resources: resourcesOf(text), attributes: [] });
  const before = machine('cpus:4;mem:1000;disk:1000');
  const judge = (text: string, sinceMs = 0, pace = METERED_PACE) =>
    significanceOf(before, machine(text), sinceMs, pace);
  t.is(significanceOf(before, machine('cpus:4;mem:1000;disk:920'), 0), 'insignificant');
  t.is(significanceOf(before, machine('cpus:4;mem:1000;disk:800'), 0), 'significant');
  t.is(judge('cpus:4;mem:1000;disk:850'), 'insignificant');
  t.is(judge('cpus:4;mem:1000;disk:500', HOUR - 1), 'soon');
  t.is(judge('cpus:4;mem:1000;disk:500', HOUR), 'significant');
  t.is(judge('cpus:3;mem:1000;disk:1000'), 'significant', 'what somebody did is told at once');
  t.is(
    significanceOf(before, { ...before, attributes: [{ name: 'hot', text: 'true' }] }, 0, METERED_PACE),
    'significant',
  );
});

test('an agent that is asked tells what it has counted', async (t) => {
  const world = new AgentWorld();
  world.more = {
    bulkBudget: 10_000,
    bookkeeping: {
      tls: false,
      process: () => Promise.resolve({ rssKb: 7, pssKb: 5, processorMs: 3, openFiles: 2, writtenBytes: 1 }),
      log: () => ({ lines: 12, dropped: 1 }),
    },
  };
  await world.up();
  world.outputs.set('batch/a.0/0', 'x'.repeat(4_000));
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  world.master.command(STDOUT);
  await world.clock.advance(1_000);
  world.master.command({ type: 'ASK_STATS', request: 'q1', client: 'ann', session: 's1' });
  await world.clock.advance(1_000);
  const [{ client, session, request, stats } = { stats: undefined }] = world.master.of('STATS');
  t.deepEqual([client, session, request], ['ann', 's1', 'q1']);
  t.like(stats, {
    tasks: { started: 1, restarted: 0 },
    log: { lines: 12, dropped: 1 },
    bulk: { budget: 10_000, over: 0 },
    process: { rssKb: 7, pssKb: 5, processorMs: 3, openFiles: 2, writtenBytes: 1 },
  });
  t.true((stats?.bulk.spent ?? 0) >= 4_000);
  t.is(stats?.link.connects, 1);
  t.true((stats?.disk.journal.bytes ?? 0) > 0);
  t.true((stats?.link.controlUp.messages ?? 0) >= 2);
  t.true((stats?.link.bulk.bytes ?? 0) >= 4_000);
});

test('when the budget is spent a reader is told for how long; an operator reads on, and control is never held up', async (t) => {
  const world = new AgentWorld();
  world.more = { bulkBudget: 40_000 };
  await world.up();
  world.outputs.set('batch/a.0/0', 'x'.repeat(60_000));
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  const received = () => Math.max(...world.master.chunks.map(({ offset, data }) => offset + data.length));
  world.master.command(STDOUT);
  await world.clock.advance(1_000);
  const { fault, end } = world.master.chunks.at(-1) ?? {};
  t.is(fault?.code, 'BUDGET_SPENT');
  t.regex(fault?.message ?? '', /39\.1 kB a day .* room in \d+ h/);
  t.true(end);
  const told = received();
  t.true(told > 0 && told <= 40_000, String(told));
  world.master.place('b', { argv: program() });
  await world.until(() => world.master.ended('b'));
  t.is(world.master.last('b')?.state, 'TASK_FINISHED');
  world.master.command({ ...STDOUT, request: 'r2', from: told, overBudget: true });
  await world.clock.advance(1_000);
  t.is(received(), 60_000);
  // What an operator took is nobody's debt: a day later there is a whole budget again.
  await world.clock.advance(24 * HOUR);
  // Half of it: the wish to read may come twice.
  world.outputs.set('batch/c.0/0', 'x'.repeat(20_000));
  world.master.place('c', { argv: program() });
  await world.until(() => world.master.ended('c'));
  const before = world.master.chunks.length;
  world.master.command({ ...STDOUT, task: 'c', request: 'r3' });
  await world.clock.advance(1_000);
  t.is(
    world.master.chunks.slice(before).find(({ fault: one }) => one !== undefined),
    undefined,
  );
});

test('a leader that takes pieces deflated gets them so, where that is worth it, and the budget pays for what was sent', async (t) => {
  const world = new AgentWorld();
  world.more = { bulkBudget: 1_000_000, deflate: (bytes) => systemDeflate(bytes, 9) };
  await world.up();
  const text = 'a line like the one before it\n'.repeat(1_000);
  world.outputs.set('batch/a.0/0', text);
  world.outputs.set('batch/b.0/0', 'x'.repeat(100));
  for (const task of ['a', 'b']) {
    world.master.place(task, { argv: program() });
    await world.until(() => world.master.ended(task));
  }
  const read = async (wish: object) => {
    const before = world.master.chunks.length;
    world.master.command({ ...STDOUT, ...wish });
    await world.until(() => world.master.chunks.slice(before).some(({ end }) => end));
    // Of pieces that came twice one each, in their order.
    const pieces = new Map(world.master.chunks.slice(before).map((chunk) => [chunk.offset, chunk]));
    return [...pieces.values()].sort((one, other) => one.offset - other.offset);
  };
  const bytesOf = (pieces: readonly Chunk[]) => pieces.reduce((sum, { data }) => sum + data.length, 0);
  const plain = await read({});
  t.true(plain.every(({ deflated }) => deflated === undefined));
  t.is(bytesOf(plain), text.length);
  const small = await read({ request: 'r2', deflate: true });
  t.is(
    small.reduce((sum, { deflated = 0 }) => sum + deflated, 0),
    text.length,
  );
  t.true(bytesOf(small) < 2_000);
  const inflated = small.map(({ data, deflated = 0 }) => new TextDecoder().decode(systemInflate(data, deflated)));
  t.is(inflated.join(''), text);
  t.is((await read({ request: 'r3', deflate: true, task: 'b' }))[0]?.deflated, undefined);
});

test('on a metered link a leader that takes Brotli gets whole pieces of what packs well, and short ones of the rest', async (t) => {
  const world = new AgentWorld();
  // At once: virtual time does not wait for the pool of threads.
  const brotli = (bytes: Uint8Array) => Promise.resolve(brotliCompressSync(bytes));
  const deflate = (bytes: Uint8Array) => Promise.resolve(deflateRawSync(bytes));
  world.more = { metered: true, deflate, brotli };
  await world.up();
  const lines = Array.from(
    { length: 1_500 },
    (_, at) => `2026-01-01T00:00:${at % 60} request ${at * 7_919} was served\n`,
  );
  const text = lines.join('');
  const noise = Array.from({ length: 40_000 }, () => String.fromCharCode(32 + world.random.below(95))).join('');
  world.outputs.set('batch/a.0/0', text);
  world.outputs.set('batch/b.0/0', noise);
  for (const task of ['a', 'b']) {
    world.master.place(task, { argv: program() });
    await world.until(() => world.master.ended(task));
  }
  const read = async (wish: object) => {
    const before = world.master.chunks.length;
    world.master.command({ ...STDOUT, deflate: true, ...wish });
    await world.until(() => world.master.chunks.slice(before).some(({ end }) => end));
    const pieces = new Map(world.master.chunks.slice(before).map((chunk) => [chunk.offset, chunk]));
    return [...pieces.values()].sort((one, other) => one.offset - other.offset);
  };
  const [first] = await read({ request: 'r0', task: 'b', brotli: true });
  t.true((first?.data.length ?? 5_000) <= 4_096, 'noise of 32 kB would keep a report waiting');
  const short = await read({ brotli: true });
  t.deepEqual(
    short.map(({ brotli }) => brotli),
    [32_768, 32_768, text.length - 65_536].filter((bytes) => bytes > 0),
  );
  const back = short.map(({ data, brotli = 0 }) => new TextDecoder().decode(systemUnbrotli(data, brotli)));
  t.is(back.join(''), text);
  t.true(
    (await read({ request: 'r2' })).every(({ brotli, deflated }) => brotli === undefined && deflated !== undefined),
  );
});

test('what does not inflate, or to more than it says, is none', async (t) => {
  const deflated = await systemDeflate(new Uint8Array(10_000), 9);
  t.is(systemInflate(deflated, 10_000)?.length, 10_000);
  t.is(systemInflate(deflated, 9_999), undefined);
  t.is(systemInflate(new TextEncoder().encode('not deflated'), 10_000), undefined);
  const brotli = await systemBrotli(new Uint8Array(10_000));
  t.is(systemUnbrotli(brotli, 10_000)?.length, 10_000);
  t.is(systemUnbrotli(brotli, 9_999), undefined);
  t.is(systemUnbrotli(deflated, 10_000), undefined);
});
