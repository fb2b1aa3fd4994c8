import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);
/** Bytes that a file of that process may have; the shell counts in blocks of 512 or 1,024. */
const BLOCKS = 64;

test('a disk that takes only a part of what is written last is told of: no file is short and called whole', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-guarded-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const module = JSON.stringify(new URL('../../io/node/guarded-folder.js', import.meta.url).href);
  const program = `
    const { GuardedFolder } = await import(${module});
    const folder = new GuardedFolder(${JSON.stringify(folder)}, { bytes: 1e9, entries: 10 });
    async function* chunks() { yield new Uint8Array(${BLOCKS * 1_024 + 100}); }
    await folder.addFile('f', 0o644, 1, chunks()).then(() => console.log('taken'), ({ code }) => console.log(code));
  `;
  // Beyond its limit a write is cut, and the next one fails, as on a disk that is full.
  const limited = `trap '' XFSZ; ulimit -f ${BLOCKS}; exec "$0" --input-type=module -e "$1"`;
  const { stdout } = await run('sh', ['-c', limited, process.execPath, program]);
  t.is(stdout.trim(), 'EFBIG');
});
