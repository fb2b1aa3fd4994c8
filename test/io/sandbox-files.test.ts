import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { sandboxFiles } from '../../io/node/sandbox-files.ts';
import type { SandboxFile } from '../../io/sandbox-files.ts';

/** A task's folder `t`, with a sandbox in it, and a secret beside that. */
function scene(t: ExecutionContext) {
  const root = mkdtempSync(join(tmpdir(), 'mesq-sandbox-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const work = join(root, 't', 'work');
  mkdirSync(join(work, 'out'), { recursive: true });
  writeFileSync(join(work, 'out', 'a'), 'hello world');
  writeFileSync(join(root, 't', 'secret'), 'secret');
  mkdirSync(join(root, 't', 'workshop'));
  writeFileSync(join(root, 't', 'workshop', 'a'), 'secret');
  const files = sandboxFiles(root);
  const open = async (path: string): Promise<SandboxFile | string> => files.open('t', path);
  const text = async (path: string): Promise<string> => {
    const file = await open(path);
    if (typeof file === 'string') return file;
    const bytes = await file.read(0, 100);
    await file.close();
    return Buffer.from(bytes).toString();
  };
  return { root, work, open, text };
}

test('regular files of a sandbox are read, through links within it too', async (t) => {
  const { work, text } = scene(t);
  symlinkSync('out/a', join(work, 'latest'));
  symlinkSync('out', join(work, 'folder'));
  for (const path of ['out/a', './out//a', 'latest', 'folder/a']) t.is(await text(path), 'hello world', path);
});

test('what leads out of the sandbox is refused, however it does', async (t) => {
  const { root, work, text } = scene(t);
  symlinkSync(join(root, 't', 'secret'), join(work, 'absolute'));
  symlinkSync('../secret', join(work, 'relative'));
  symlinkSync('..', join(work, 'up'));
  symlinkSync('absolute', join(work, 'twice'));
  symlinkSync('../workshop', join(work, 'neighbour'));
  symlinkSync('circle', join(work, 'circle'));
  for (const path of ['absolute', 'relative', 'up/secret', 'twice', 'neighbour/a', 'circle'])
    t.is(await text(path), 'outside', path);
});

test('what is no regular file is refused, and a FIFO nobody writes to holds nothing up', async (t) => {
  const { work, text } = scene(t);
  execFileSync('mkfifo', [join(work, 'fifo')]);
  t.is(await text('fifo'), 'irregular');
  t.is(await text('out'), 'irregular');
  t.is(await text('.'), 'irregular');
  for (const path of ['none', 'out/a/b', 'x'.repeat(300)]) t.is(await text(path), 'missing', path);
});

test('an open file stays the same one, and tells itself from what takes its place', async (t) => {
  const { work, open } = scene(t);
  const first = await open('out/a');
  if (typeof first === 'string') return t.fail(first);
  writeFileSync(join(work, 'new'), 'HELLO');
  renameSync(join(work, 'new'), join(work, 'out', 'a'));
  const second = await open('out/a');
  if (typeof second === 'string') return t.fail(second);
  t.is(Buffer.from(await first.read(6, 100)).toString(), 'world');
  t.is(Buffer.from(await second.read(0, 3)).toString(), 'HEL');
  t.deepEqual([first.size, second.size], [11, 5]);
  t.not(first.inode, second.inode);
  await Promise.all([first.close(), second.close()]);
});

/** Makes the folder `d` a link and a folder again, without end. */
const SWAP = `
  const { renameSync, symlinkSync, unlinkSync } = require('node:fs');
  process.stdout.write('on');
  for (;;) {
    renameSync('d', 'kept');
    symlinkSync('../workshop', 'd');
    unlinkSync('d');
    renameSync('kept', 'd');
  }`;

test('a folder that becomes a link at the wrong moment leads nowhere', async (t) => {
  const { work, text } = scene(t);
  mkdirSync(join(work, 'd'));
  writeFileSync(join(work, 'd', 'a'), 'hello world');
  const swapping = spawn(process.execPath, ['-e', SWAP], { cwd: work, stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(swapping.stdout, 'data');
    const read = new Map<string, number>();
    for (let round = 0; round < 3_000; round++) {
      const what = await text('d/a');
      read.set(what, (read.get(what) ?? 0) + 1);
    }
    t.log(Object.fromEntries(read));
    t.false(read.has('secret'));
    t.true(read.has('hello world') && read.has('outside'));
  } finally {
    swapping.kill('SIGKILL');
    await once(swapping, 'exit');
  }
});
