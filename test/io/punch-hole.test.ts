import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { punchHole } from '../../io/node/punch-hole.ts';

const CONTENT = 'x'.repeat(1_048_576);

/** A file of 1 MB, where `fallocate` is the script `program`; absent: none at all. */
async function withProgram(
  t: ExecutionContext,
  program: string | undefined,
  act: (path: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-hole-'));
  const path = process.env['PATH'];
  try {
    writeFileSync(join(folder, 'file'), CONTENT);
    if (program !== undefined) writeFileSync(join(folder, 'fallocate'), `#!/bin/sh\n${program}\n`);
    if (program !== undefined) chmodSync(join(folder, 'fallocate'), 0o755);
    process.env['PATH'] = folder;
    await act(join(folder, 'file'));
    t.is(readFileSync(join(folder, 'file'), 'latin1'), CONTENT);
  } finally {
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true });
  }
}

test.serial('the beginning goes, the rest keeps its place, and once more does no harm', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-hole-'));
  const path = join(folder, '-file');
  try {
    writeFileSync(path, CONTENT);
    const before = statSync(path);
    for (let time = 0; time < 2; time++) {
      t.true(await punchHole(path, 1_000_000));
      const after = statSync(path);
      t.is(after.size, before.size);
      t.true(after.blocks * 512 < 100_000, `${after.blocks} blocks`);
      t.true(readFileSync(path).equals(Buffer.from('\0'.repeat(1_000_000) + CONTENT.slice(1_000_000))));
    }
    t.false(await punchHole(join(folder, 'missing'), 10));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.serial('false without fallocate, and with one that cannot', async (t) => {
  for (const program of [undefined, 'echo "unrecognized option" >&2; exit 1'])
    await withProgram(t, program, async (path) => {
      t.false(await punchHole(path, 1_000));
    });
});

test.serial('one that hangs is ended, and one that somebody ended may be repeated', async (t) => {
  await withProgram(t, 'while :; do :; done', async (path) => {
    await t.throwsAsync(punchHole(path, 1_000, 50), { code: 'ETIMEDOUT' });
  });
  await withProgram(t, 'kill -TERM $$', async (path) => {
    await t.throwsAsync(punchHole(path, 1_000), { code: 'EINTR' });
  });
});
