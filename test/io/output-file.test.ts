import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { openOutputFile } from '../../io/node/output-file.ts';
import type { OutputFile } from '../../io/output-file.ts';

const scene = (title: string, act: (t: ExecutionContext, path: string) => Promise<void>) => {
  test.serial(title, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'mesq-output-'));
    try {
      await act(t, join(folder, 'stdout'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
};

const diskBytes = (path: string) =>
  [path, `${path}.1`, `${path}.1.new`].reduce((sum, each) => sum + (existsSync(each) ? statSync(each).size : 0), 0);

/** All that is kept from `offset` on, as pieces at their offsets. */
async function readAll(file: OutputFile, offset: number): Promise<{ offset: number; text: string }[]> {
  const pieces: { offset: number; text: string }[] = [];
  for (let at = offset; ; ) {
    const chunk = await file.read(at, 7);
    if (chunk === undefined || chunk.bytes.length === 0) return pieces;
    const text = Buffer.from(chunk.bytes).toString('latin1');
    const last = pieces.at(-1);
    if (last !== undefined && last.offset + last.text.length === chunk.offset) last.text += text;
    else pieces.push({ offset: chunk.offset, text });
    at = chunk.offset + chunk.bytes.length;
  }
}

scene('a file that is missing is undefined, before it is there and after it is gone', async (t, path) => {
  const file = openOutputFile(path, 100);
  const everything = () => Promise.all([file.size(), file.read(0, 10), file.cut()]);
  t.deepEqual(await everything(), [undefined, undefined, undefined]);
  writeFileSync(path, '');
  t.deepEqual(await everything(), [0, { offset: 0, bytes: Buffer.alloc(0), end: 0 }, false]);
  rmSync(path);
  t.deepEqual(await everything(), [undefined, undefined, undefined]);
});

scene('a read past the end says where the end is', async (t, path) => {
  writeFileSync(path, 'abc');
  t.deepEqual(await openOutputFile(path, 100).read(10, 5), { offset: 3, bytes: Buffer.alloc(0), end: 3 });
});

scene('offsets stay, and what was dropped is a gap, whatever is appended, cut and reopened', async (t, path) => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ append: fc.integer({ min: 0, max: 60 }) }) },
    { weight: 2, arbitrary: fc.constant('cut' as const) },
    { weight: 1, arbitrary: fc.constant('reopen' as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      for (const each of [path, `${path}.1`, `${path}.base`]) rmSync(each, { force: true });
      writeFileSync(path, '');
      let file = openOutputFile(path, 40);
      let written = '';
      let cuts = 0;
      for (const each of steps) {
        if (each === 'reopen') file = openOutputFile(path, 40);
        else if (each === 'cut') {
          const due = statSync(path).size > (cuts === 0 ? 40 : 20);
          t.is(await file.cut(), due);
          if (due) cuts++;
          t.true(diskBytes(path) <= 40);
        } else {
          const text = Array.from({ length: each.append }, (_, index) =>
            String.fromCharCode(97 + ((written.length + index) % 26)),
          ).join('');
          appendFileSync(path, text);
          written += text;
        }
        t.is(await file.size(), written.length);
        const pieces = await readAll(file, 0);
        for (const { offset, text } of pieces) t.is(text, written.slice(offset, offset + text.length));
        const last = pieces.at(-1);
        t.is(
          last === undefined ? written.length : last.offset + last.text.length,
          written.length,
          'the newest bytes are kept',
        );
        const kept = pieces.reduce((sum, { text }) => sum + text.length, 0);
        t.true(cuts === 0 ? kept === written.length : kept >= 20);
      }
    }),
    { numRuns: 150 },
  );
});

scene('a task that truncates its own output does not turn offsets back', async (t, path) => {
  const file = openOutputFile(path, 100);
  writeFileSync(path, 'twelve bytes');
  t.is(await file.size(), 12);
  truncateSync(path, 0);
  appendFileSync(path, 'more');
  t.is(await file.size(), 16);
  t.deepEqual(await readAll(file, 0), [{ offset: 12, text: 'more' }]);
});

scene('a flood of 100 MB stays within the cap and what comes between two looks', async (t, path) => {
  const cap = 4 * 1_048_576;
  writeFileSync(path, '');
  const flood = spawn('/bin/sh', ['-c', `head -c 104857600 /dev/zero >>'${path}'`], { stdio: 'ignore' });
  const exit = once(flood, 'exit');
  let ended = false;
  void exit.then(() => {
    ended = true;
  });
  const file = openOutputFile(path, cap);
  let cuts = 0;
  let size = 0;
  while (!ended) {
    if ((await file.cut()) === true) {
      cuts++;
      t.true(statSync(`${path}.1`).size <= cap / 2 + 262_144);
    }
    const now = (await file.size()) ?? 0;
    t.true(now >= size);
    size = now;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await file.cut();
  t.true(cuts > 0);
  t.true(diskBytes(path) <= cap + 262_144);
  const end = (await file.size()) ?? 0;
  t.log(`${cuts} cuts; ${104_857_600 - end} bytes written within a truncation, uncounted`);
  t.true(end <= 104_857_600);
  t.is((await openOutputFile(path, cap).size()) ?? 0, end);
});

scene('what a task writes while its output is cut, its last line above all, is kept', async (t, path) => {
  const file = openOutputFile(path, 100_000);
  writeFileSync(path, 'x'.repeat(200_000));
  const cut = file.cut();
  // The cut has looked at the size by then, and waits for the disk.
  for (let turn = 0; turn < 3; turn++) await Promise.resolve();
  appendFileSync(path, `${'y'.repeat(2_000_000)}the end`);
  t.true(await cut);
  const end = (await file.size()) ?? 0;
  t.is(end, 2_200_007);
  const last = await file.read(end - 8, 100);
  t.is(Buffer.from(last?.bytes ?? []).toString(), 'ythe end');
});

scene('a watcher is told of the first byte, of more, and of the end, until it leaves', async (t, path) => {
  const folder = join(path, '..', 'task');
  mkdirSync(folder);
  const file = openOutputFile(join(folder, 'stdout'), 100);
  let told: () => void = () => undefined;
  const next = () => new Promise<void>((resolve) => (told = resolve));
  const leave = file.watch(() => told());
  for (const act of [
    () => writeFileSync(join(folder, 'stdout'), 'a'),
    () => appendFileSync(join(folder, 'stdout'), 'b'),
    () => rmSync(folder, { recursive: true }),
  ]) {
    const change = next();
    act();
    await change;
  }
  t.is(await file.size(), undefined);
  leave();
});
