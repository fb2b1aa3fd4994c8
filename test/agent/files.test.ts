import test from 'ava';
import { AgentWorld, program } from './world.ts';

const BYTES = Uint8Array.from({ length: 300_000 }, (_, at) => (at * 7919) >>> 8);
const GRANT = { client: 'ann', session: 's1', framework: 'batch', task: 'a', attempt: 0 };

/** A task that has ended, and left a file. */
async function scene() {
  const world = new AgentWorld();
  await world.up();
  world.sandboxes.set('batch/a.0/0/out/a', { inode: '7', bytes: BYTES });
  world.master.place('a', { argv: program() });
  await world.until(() => world.master.ended('a'));
  const ask = async (from: number, until: number, path = 'out/a', request = 'r1'): Promise<void> => {
    world.master.command({ type: 'READ_FILE', request, ...GRANT, path, from, until });
    await world.clock.advance(1_000);
  };
  /** What has come, each byte where it belongs. */
  const received = (): Buffer => {
    const whole = Buffer.alloc(BYTES.length);
    for (const { offset, data } of world.master.chunks) whole.set(data, offset);
    return whole;
  };
  return { world, ask, received };
}

test('a file of an ended task is read within its grants, also over a break, and held open no longer', async (t) => {
  const { world, ask, received } = await scene();
  await ask(0, 100_000);
  t.is(Math.max(...world.master.chunks.map(({ offset, data }) => offset + data.length)), 100_000);
  t.false(world.master.chunks.some(({ end }) => end));
  t.is(world.openFiles, 1);
  world.cut();
  await world.clock.advance(60_000);
  t.is(world.openFiles, 0);
  await ask(100_000, 1_000_000);
  t.true(received().equals(BYTES));
  t.true(world.master.chunks.every(({ file }) => file?.inode === '7' && file.size === BYTES.length));
  t.true(world.master.chunks.at(-1)?.end);
  t.is(world.openFiles, 0);
});

test('what cannot be fetched is told, and no output is sent instead', async (t) => {
  const { world, ask } = await scene();
  await ask(0, 100, 'none');
  t.is(world.master.chunks.at(-1)?.fault?.code, 'NOT_FOUND');
  const heard = world.master.chunks.length;
  for (const path of ['../stdout', '/etc/passwd', 'a\0', '']) await ask(0, 100, path);
  t.is(world.master.chunks.length, heard, 'what keeps to no rule is not even looked at');
});

test('a grant that is taken back, or replaced, closes its file', async (t) => {
  const { world, ask } = await scene();
  world.master.command({ type: 'READ_FILE', request: 'r1', ...GRANT, path: 'out/a', from: 0, until: 1_000 });
  await ask(0, 50_000);
  t.is(world.openFiles, 1);
  await ask(50_000, 50_000);
  t.is(world.openFiles, 0);
});
