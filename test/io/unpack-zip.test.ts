import { spawnSync } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { sandboxFiller } from '../../io/node/sandbox-filler.ts';
import { type SandboxFiller, UnpackError } from '../../io/sandbox-filler.ts';
import { type ZipEntry, zipOf } from './zip-bytes.ts';

const LIMITS = { bytes: 10_000_000, entries: 1_000 };
const TASK = 'batch/t/0';
const LINK = 0o120777;
const never = new AbortController().signal;
setMaxListeners(0, never);

interface Place {
  readonly root: string;
  readonly work: string;
  readonly filler: SandboxFiller;
  /** Unpacks it. */
  unpack(zip: Uint8Array, limits?: typeof LIMITS, signal?: AbortSignal): Promise<void>;
}

async function place(t: ExecutionContext): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'mesq-zip-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const [files, tasks] = [join(root, 'artifacts'), join(root, 'tasks')];
  await mkdir(files);
  await mkdir(tasks);
  const filler = sandboxFiller({ files, tasks });
  await filler.clear(TASK);
  return {
    root,
    filler,
    work: join(tasks, TASK, 'work'),
    unpack: async (zip, limits = LIMITS, signal = never) => {
      await writeFile(join(files, 'a'), zip);
      await filler.unpack('a', TASK, '', limits, signal);
    },
  };
}

test('files, stored and deflated, folders, links within it, and modes without what only root may give', async (t) => {
  const { work, unpack } = await place(t);
  await unpack(
    zipOf([
      { name: 'bin/', mode: 0o040777 },
      { name: 'bin/tool', content: '#!/bin/sh\n', mode: 0o106755 },
      { name: 'lib/deep/data', content: 'x'.repeat(200_000), deflated: true, mode: 0o100000 },
      { name: 'lib/up', content: '../bin/./tool', mode: LINK },
      { name: 'lib\\windows.txt', content: 'w' },
      { name: 'grüße', content: '' },
    ]),
  );
  t.is((await lstat(join(work, 'bin/tool'))).mode & 0o7777, 0o755);
  t.is((await lstat(join(work, 'lib/deep/data'))).mode & 0o7777, 0o600);
  t.is(await readFile(join(work, 'lib/deep/data'), 'utf8'), 'x'.repeat(200_000));
  t.is(await readlink(join(work, 'lib/up')), '../bin/./tool');
  t.is(await readFile(join(work, 'lib/up'), 'utf8'), '#!/bin/sh\n');
  t.deepEqual((await readdir(work)).sort(), ['bin', 'grüße', 'lib']);
  t.is(await readFile(join(work, 'lib/windows.txt'), 'utf8'), 'w');
});

test('of nothing', async (t) => {
  const { work, unpack } = await place(t);
  await unpack(zipOf([]));
  t.deepEqual(await readdir(work), []);
});

const EVIL: Readonly<Record<string, readonly ZipEntry[]>> = {
  'an absolute path': [{ name: '/tmp/mesq-evil', content: 'x' }],
  'a path that climbs': [{ name: 'a/../../evil', content: 'x' }],
  'a path that climbs by backslashes': [{ name: 'a\\..\\..\\evil', content: 'x' }],
  'a folder that climbs': [{ name: '../evil/', mode: 0o040755 }],
  'a NUL in a name': [{ name: 'a\0b', content: 'x' }],
  'a link to an absolute path': [{ name: 'way', content: '/', mode: LINK }],
  'a link that climbs out': [{ name: 'a/way', content: '../../evil', mode: LINK }],
  'a link to nothing': [{ name: 'way', mode: LINK }],
  'a link of a megabyte': [{ name: 'way', content: 'x'.repeat(1_000_000), mode: LINK }],
  'a file through a link': [
    { name: 'in/', mode: 0o040755 },
    { name: 'way', content: 'in', mode: LINK },
    { name: 'way/file', content: 'x' },
  ],
  'a file through a file': [
    { name: 'way', content: 'x' },
    { name: 'way/file', content: 'x' },
  ],
  'a character device': [{ name: 'null', mode: 0o020666 }],
  'a FIFO': [{ name: 'pipe', mode: 0o010666 }],
  'an encrypted file': [{ name: 'secret', content: 'x'.repeat(20), size: 8, flags: 1 }],
  'a file that is packed otherwise': [{ name: 'packed', content: 'x', method: 14 }],
};

for (const [what, entries] of Object.entries(EVIL)) {
  test(`a zip with ${what} is refused`, async (t) => {
    const { root, work, unpack } = await place(t);
    const zip = zipOf([...entries, { name: 'behind', content: 'x' }]);
    const error = await t.throwsAsync(unpack(zip), { instanceOf: UnpackError });
    t.regex(error?.message ?? '', /^holds /);
    t.deepEqual((await readdir(root)).sort(), ['artifacts', 'tasks']);
    t.false((await readdir(work)).includes('behind'));
    for (const kept of await readdir(work, { withFileTypes: true }))
      t.true(kept.isFile() || kept.isDirectory() || kept.isSymbolicLink());
  });
}

test('nothing is written through a link that was there before', async (t) => {
  const { root, work, unpack } = await place(t);
  await mkdir(join(root, 'outside'));
  await symlink(join(root, 'outside'), join(work, 'way'));
  await symlink(join(root, 'outside/file'), join(work, 'file'));
  await t.throwsAsync(unpack(zipOf([{ name: 'way/file', content: 'x' }])), { instanceOf: UnpackError });
  await unpack(zipOf([{ name: 'file', content: 'x' }]));
  t.deepEqual(await readdir(join(root, 'outside')), []);
  t.true((await lstat(join(work, 'file'))).isFile());
});

test('bombs: too many files, folders that no entry names, too many bytes said, more bytes than said', async (t) => {
  const { work, unpack } = await place(t);
  const many = Array.from({ length: 20 }, (_, at) => ({ name: `f${at}` }));
  await t.throwsAsync(unpack(zipOf(many), { bytes: 1_000, entries: 19 }), { message: /more than 19/ });
  await t.notThrowsAsync(unpack(zipOf(many), { bytes: 1_000, entries: 20 }));
  await t.throwsAsync(unpack(zipOf([{ name: `${'d/'.repeat(30)}f` }]), { bytes: 1_000, entries: 19 }), {
    message: /more than 19/,
  });
  const zeros = Buffer.alloc(100_000_000);
  await t.throwsAsync(unpack(zipOf([{ name: 'zeros', content: zeros, deflated: true }])), {
    message: /more than 10000000 bytes/,
  });
  t.false((await readdir(work)).includes('zeros'));
  const liar = { name: 'liar', content: zeros, deflated: true, size: 1_000 };
  await t.throwsAsync(unpack(zipOf([liar])), { instanceOf: UnpackError, message: /damaged/ });
  t.true((await stat(join(work, 'liar'))).size <= 100_000);
  // The same bytes under many names.
  const one = { name: 'one', content: Buffer.alloc(6_000_000), deflated: true };
  await t.throwsAsync(unpack(zipOf([one, { ...one, name: 'two' }])), { message: /more than 10000000 bytes/ });
});

test('what is no zip, is damaged or ends early says so', async (t) => {
  const { unpack } = await place(t);
  const whole = zipOf([
    { name: 'f', content: 'x'.repeat(3_000) },
    { name: 'g', content: 'y'.repeat(3_000), deflated: true },
  ]);
  const refused: Record<string, Uint8Array> = {
    short: whole.subarray(0, 1_500),
    'without a directory': zipOf([{ name: 'f', content: 'x' }], false),
    'cut in its directory': whole.subarray(0, whole.length - 40),
    'other content': Buffer.from(whole).fill('z', 100, 200),
    'other checksum': zipOf([{ name: 'f', content: 'x', crc: 1 }]),
    'fewer bytes than said': zipOf([{ name: 'f', content: 'x'.repeat(100), deflated: true, size: 200 }]),
    'no deflate': zipOf([{ name: 'f', content: '\xff'.repeat(100), method: 8 }]),
    'in gzip': gzipSync(whole),
    letters: Buffer.from(`PK\x03\x04${'x'.repeat(600)}`),
  };
  for (const [name, bytes] of Object.entries(refused)) {
    const error = await t.throwsAsync(unpack(bytes), { instanceOf: UnpackError }, name);
    t.regex(error?.message ?? '', name === 'in gzip' ? /is no tar/ : /is damaged/, name);
  }
});

test('what zip(1) packs comes out as it was', async (t) => {
  const { root, work, unpack } = await place(t);
  const source = join(root, 'source');
  await mkdir(join(source, 'deep'), { recursive: true });
  await writeFile(join(source, 'deep/long.txt'), 'long '.repeat(10_000));
  await writeFile(join(source, 'run.sh'), '#!/bin/sh\necho hi\n', { mode: 0o755 });
  await symlink('deep', join(source, 'way'));
  const packed = join(root, 'packed.zip');
  const { status, error } = spawnSync('zip', ['-q', '-r', '--symlinks', packed, '.'], { cwd: source });
  if (error !== undefined) return t.log('skipped: there is no zip(1) here');
  t.is(status, 0);
  await unpack(await readFile(packed));
  t.is(await readFile(join(work, 'way/long.txt'), 'utf8'), 'long '.repeat(10_000));
  t.is(await readlink(join(work, 'way')), 'deep');
  t.is((await stat(join(work, 'run.sh'))).mode & 0o777, 0o755);
});

test('withdrawn, it ends', async (t) => {
  const { unpack } = await place(t);
  const withdrawn = new AbortController();
  withdrawn.abort();
  const unpacked = unpack(zipOf([{ name: 'f', content: 'x' }]), LIMITS, withdrawn.signal);
  const ended = await unpacked.then(
    () => 'there',
    (error: unknown) => (error as { name: string }).name,
  );
  t.is(ended, 'AbortError');
});
