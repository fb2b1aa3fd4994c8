import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { openOutputFile } from '../../io/node/output-file.ts';
import { punchHole } from '../../io/node/punch-hole.ts';
import type { OutputFile } from '../../io/output-file.ts';
import { StorageError } from '../../io/storage.ts';

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

const MB = 1_048_576;
/** What a file takes on the disk over what it holds: its first and last block, its table of blocks, its record. */
const BLOCKS = 65_536;

const diskBytes = (path: string) =>
  [path, `${path}.1`, `${path}.1.new`, `${path}.base`].reduce(
    (sum, each) => sum + (statSync(each, { throwIfNoEntry: false })?.blocks ?? 0) * 512,
    0,
  );

/** Bytes handed to write(2) by this process so far. */
const writtenByUs = () => Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1]);

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

const cannotPunch = (): Promise<boolean> => Promise.resolve(false);

for (const { way, punch, numRuns } of [
  { way: 'where holes can be punched', punch: punchHole, numRuns: 20 },
  { way: 'where they cannot', punch: cannotPunch, numRuns: 100 },
])
  scene(
    `offsets stay, and what was dropped is a gap, whatever is appended, cut and reopened, ${way}`,
    async (t, path) => {
      const step = fc.oneof(
        { weight: 4, arbitrary: fc.record({ append: fc.integer({ min: 0, max: 60 }) }) },
        { weight: 2, arbitrary: fc.constant('cut' as const) },
        { weight: 1, arbitrary: fc.constant('reopen' as const) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          for (const each of [path, `${path}.1`, `${path}.base`]) rmSync(each, { force: true });
          writeFileSync(path, '');
          let file = openOutputFile(path, 40, punch);
          let written = '';
          let kept = 0;
          let live = 0;
          for (const each of steps) {
            if (each === 'reopen') file = openOutputFile(path, 40, punch);
            else if (each === 'cut') {
              const due = punch === cannotPunch ? written.length - live > (live === 0 ? 40 : 20) : kept > 40;
              t.is(await file.cut(), due);
              if (due) {
                live = written.length;
                kept = 20;
              }
            } else {
              const piece = Array.from({ length: each.append }, (_, index) =>
                String.fromCharCode(97 + ((written.length + index) % 26)),
              ).join('');
              appendFileSync(path, piece);
              written += piece;
              kept += piece.length;
            }
            t.is(await file.size(), written.length);
            const pieces = await readAll(file, 0);
            t.deepEqual(pieces, kept === 0 ? [] : [{ offset: written.length - kept, text: written.slice(-kept) }]);
          }
        }),
        { numRuns },
      );
    },
  );

scene('a task that truncates its own output does not turn offsets back', async (t, path) => {
  const file = openOutputFile(path, 100);
  writeFileSync(path, 'twelve bytes');
  t.is(await file.size(), 12);
  truncateSync(path, 0);
  appendFileSync(path, 'more');
  t.is(await file.size(), 16);
  t.deepEqual(await readAll(file, 0), [{ offset: 12, text: 'more' }]);
});

/** As much as makes the starts of the programs that write it rare. */
const PIECE_BYTES = 16 * MB;

/**
 * Has `writers` programs append a letter of their own each, at once, and cuts all the while, until it has cut `most` times.
 * The number of bytes that they have written.
 */
async function flood(
  t: ExecutionContext,
  file: OutputFile,
  path: string,
  writers: number,
  most: number,
): Promise<number> {
  const script = `n=0; until [ -e '${path}.stop' ]; do cat "$0" >>'${path}' || exit; n=$((n+1)); done; echo $n`;
  const running = Array.from({ length: writers }, async (_, at) => {
    const piece = `${path}.piece-${at}`;
    writeFileSync(piece, String.fromCharCode(97 + at).repeat(PIECE_BYTES));
    const writer = spawn('/bin/sh', ['-c', script, piece], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = await Promise.all([text(writer.stdout), once(writer, 'exit')]);
    return Number(said) * PIECE_BYTES;
  });
  for (let cuts = 0, size = 0; cuts < most; ) {
    if ((await file.cut()) === true) cuts++;
    const now = (await file.size()) ?? 0;
    t.true(now >= size);
    size = now;
    await new Promise((resolve) => setImmediate(resolve));
  }
  writeFileSync(`${path}.stop`, '');
  const written = (await Promise.all(running)).reduce((sum, each) => sum + each, 0);
  await file.cut();
  return written;
}

scene('of what several write at once through many cuts, each byte is kept or counted', async (t, path) => {
  const cap = 524_288;
  writeFileSync(path, '');
  const file = openOutputFile(path, cap);
  const written = await flood(t, file, path, 4, 8);
  t.is(await file.size(), written);
  const all = await file.read(0, 2 * cap);
  t.is((all?.offset ?? 0) + (all?.bytes.length ?? 0), written);
  t.true((all?.bytes.length ?? 0) <= cap && (all?.bytes.length ?? 0) >= cap / 2);
  t.regex(Buffer.from(all?.bytes ?? []).toString(), /^[abcd]+$/);
  t.true(diskBytes(path) <= cap + BLOCKS, `${diskBytes(path)} bytes on disk`);
  t.is(await openOutputFile(path, cap).size(), written);
});

scene('where no hole can be punched a flood stays within the cap, and never goes back', async (t, path) => {
  const cap = 2 * MB;
  writeFileSync(path, '');
  const file = openOutputFile(path, cap, cannotPunch);
  const written = await flood(t, file, path, 1, 8);
  t.true(diskBytes(path) <= cap + BLOCKS, `${diskBytes(path)} bytes on disk`);
  const end = (await file.size()) ?? 0;
  t.log(`${written - end} bytes written within a truncation, uncounted`);
  t.true(end <= written);
  t.is(await openOutputFile(path, cap).size(), end);
});

scene('what a task writes while its output is cut, its last line above all, is kept', async (t, path) => {
  const file = openOutputFile(path, 100_000, async (...hole) => {
    appendFileSync(path, `${'y'.repeat(2_000_000)}the end`);
    return await punchHole(...hole);
  });
  writeFileSync(path, 'x'.repeat(200_000));
  t.true(await file.cut());
  t.is(await file.size(), 2_200_007);
  t.deepEqual(
    (await readAll(file, 2_199_990)).map(({ text }) => text),
    ['yyyyyyyyyythe end'],
  );
});

scene('a cut copies nothing', async (t, path) => {
  writeFileSync(path, 'x'.repeat(5 * MB));
  const file = openOutputFile(path, 4 * MB);
  const before = writtenByUs();
  t.true(await file.cut());
  const written = writtenByUs() - before;
  t.true(written < 20_000, `${written} bytes`);
  t.is(await file.size(), 5 * MB);
  t.true(diskBytes(path) <= 2 * MB + BLOCKS, `${diskBytes(path)} bytes on disk`);
});

scene(
  'killed between the record and the hole: what is dropped stays dropped, and the next cut gives it back',
  async (t, path) => {
    writeFileSync(path, 'x'.repeat(5 * MB));
    const killed = openOutputFile(path, 4 * MB, () =>
      Promise.reject(Object.assign(new Error('killed'), { code: 'EINTR' })),
    );
    await t.throwsAsync(killed.cut(), { instanceOf: StorageError, message: /EINTR/ });
    const file = openOutputFile(path, 4 * MB);
    t.is(await file.size(), 5 * MB);
    t.is((await file.read(0, 10))?.offset, 3 * MB);
    t.is(await file.cut(), false);
    appendFileSync(path, 'y'.repeat(3 * MB));
    t.true(await file.cut());
    t.is((await file.read(0, 10))?.offset, 6 * MB);
    t.true(diskBytes(path) <= 2 * MB + BLOCKS, `${diskBytes(path)} bytes on disk`);
  },
);

scene('a full disk gets its room back first, and then the record', async (t, path) => {
  writeFileSync(path, 'x'.repeat(5 * MB));
  const file = openOutputFile(path, 4 * MB, async (...hole) => {
    const punched = await punchHole(...hole);
    rmSync(`${path}.base`);
    return punched;
  });
  t.is(await file.size(), 5 * MB);
  symlinkSync('/dev/full', `${path}.base`);
  t.true(await file.cut());
  t.true(diskBytes(path) <= 2 * MB + BLOCKS, `${diskBytes(path)} bytes on disk`);
  t.is((await openOutputFile(path, 4 * MB).read(0, 10))?.offset, 3 * MB);
});

scene('on a disk that is full and cannot punch nothing is dropped', async (t, path) => {
  writeFileSync(path, 'x'.repeat(100));
  symlinkSync('/dev/full', `${path}.1.new`);
  const file = openOutputFile(path, 40, cannotPunch);
  await t.throwsAsync(file.cut(), { instanceOf: StorageError, message: /ENOSPC/ });
  t.is(statSync(path).size, 100);
  t.is(await file.size(), 100);
});

scene(
  'a task that truncates its output in the middle of a cut loses nothing of what it writes then',
  async (t, path) => {
    writeFileSync(path, 'x'.repeat(100));
    const file = openOutputFile(path, 40, () => {
      truncateSync(path, 0);
      appendFileSync(path, 'anew');
      return cannotPunch();
    });
    t.true(await file.cut());
    t.is(await file.size(), 104);
    t.deepEqual(await readAll(file, 0), [{ offset: 100, text: 'anew' }]);
  },
);

scene('a file longer than file systems take is truncated, and its offsets go on', async (t, path) => {
  writeFileSync(path, '');
  truncateSync(path, 2 ** 40);
  appendFileSync(path, 'the end');
  const file = openOutputFile(path, 4 * MB);
  t.true(await file.cut());
  t.is(statSync(path).size, 0);
  appendFileSync(path, ' is not yet');
  t.is(await file.size(), 2 ** 40 + 18);
  t.is((await readAll(file, 2 ** 40)).map(({ text }) => text).join(''), 'the end is not yet');
});

/** Takes a lease on the file, and holds it until its input ends, whatever the kernel asks of it. */
const LEASE = `
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDONLY)
while True:
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        break
    except BlockingIOError:  # A process that has just begun still has what its parent had open.
        pass
print("held", flush=True)
sys.stdin.read()
`;

for (const punch of [punchHole, cannotPunch])
  scene(
    `a task that holds a lease on its output keeps nobody waiting, ${punch === punchHole ? 'where holes can be punched' : 'where they cannot'}`,
    async (t, path) => {
      writeFileSync(path, 'x'.repeat(100));
      const holder = spawn('python3', ['-c', LEASE, path], { stdio: ['pipe', 'pipe', 'inherit'] });
      const started = await Promise.race([once(holder.stdout, 'data'), once(holder, 'error')]).catch(String);
      if (!String(started).startsWith('held')) {
        if (process.env['CI'] === 'true') t.fail('python3 is missing');
        holder.kill('SIGKILL');
        t.pass();
        t.log('skipped: python3 is missing', started);
        return;
      }
      const gone = once(holder, 'exit');
      const file = openOutputFile(path, 40, punch);
      t.is(await file.size(), 100);
      // What would wait 45 s for the lease to be taken away would cut after that.
      t.false(await file.cut());
      t.is(statSync(path).size, 100);
      holder.stdin.end();
      await gone;
      t.true(await file.cut());
      t.is((await file.read(0, 10))?.offset, 80);
      // From the beginning of the hole on: the task has no way in between.
      t.deepEqual(
        (await readAll(file, 0)).map(({ text }) => text),
        ['x'.repeat(20)],
      );
    },
  );

scene('an output that says it is longer than any can be stays within what peers take, and is cut', async (t, path) => {
  const huge = 3 * 2 ** 42;
  const counted = String(Number.MAX_SAFE_INTEGER - 10 * huge).padStart(16);
  writeFileSync(`${path}.base`, `${counted} ${'0'.padStart(16)} ${counted}\n`);
  writeFileSync(path, '');
  let file = openOutputFile(path, 40);
  for (let round = 0, before = 0; round < 80; round++) {
    truncateSync(path, huge);
    t.true(await file.cut());
    if (round % 3 === 0) file = openOutputFile(path, 40);
    const size = (await file.size()) ?? 0;
    if (size < before || !Number.isSafeInteger(size)) return t.fail(`${size} after ${before}, round ${round}`);
    before = size;
  }
  t.is(await file.size(), Number.MAX_SAFE_INTEGER);
  for (const each of [file, openOutputFile(path, 40)]) {
    appendFileSync(path, 'y'.repeat(100));
    t.is((await each.read(0, 10))?.end, Number.MAX_SAFE_INTEGER);
    t.true(await each.cut());
    t.is(statSync(path).size, 0);
    t.is(await each.size(), Number.MAX_SAFE_INTEGER);
  }
});

scene('what an older version has cut is read, and cut on', async (t, path) => {
  writeFileSync(`${path}.1`, 'previous part');
  writeFileSync(`${path}.base`, `${'120'.padStart(16)} ${'113'.padStart(16)}\n`);
  writeFileSync(path, 'live');
  const file = openOutputFile(path, 40);
  t.deepEqual(await readAll(file, 0), [
    { offset: 100, text: 'previous part' },
    { offset: 120, text: 'live' },
  ]);
  appendFileSync(path, '+'.repeat(20));
  t.true(await file.cut());
  t.false(existsSync(`${path}.1`));
  for (const each of [file, openOutputFile(path, 40)])
    t.deepEqual(await readAll(each, 0), [{ offset: 124, text: '+'.repeat(20) }]);
  // And the older version finds its two numbers where they were.
  t.regex(readFileSync(`${path}.base`, 'latin1'), /^ {13}120 {16}0 /);
  // A power cut may have left zeros in place of the record.
  writeFileSync(`${path}.base`, '\0'.repeat(51));
  t.is(await openOutputFile(path, 40).size(), 24);
});

scene(
  'a task that truncates an output that was cut does not turn offsets back, for the agent after this one neither',
  async (t, path) => {
    writeFileSync(path, 'x'.repeat(100));
    const file = openOutputFile(path, 40);
    t.true(await file.cut());
    appendFileSync(path, 'y'.repeat(10));
    t.is(await file.size(), 110);
    truncateSync(path, 0);
    appendFileSync(path, 'more');
    // Unseen by an agent that begins now: no less than what was dropped is known.
    t.is(await openOutputFile(path, 40).size(), 84);
    t.is(await file.cut(), false);
    for (const each of [file, openOutputFile(path, 40)])
      t.deepEqual(await readAll(each, 0), [{ offset: 110, text: 'more' }]);
  },
);

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
