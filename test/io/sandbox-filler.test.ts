import { spawnSync } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { sandboxFiller } from '../../io/node/sandbox-filler.ts';
import { findUser } from '../../io/node/users.ts';
import { type SandboxFiller, UnpackError } from '../../io/sandbox-filler.ts';
import { type TarEntry, tarOf } from './tar-blocks.ts';

const LIMITS = { bytes: 10_000_000, entries: 1_000 };
const TASK = 'batch/t/0';
const never = new AbortController().signal;
setMaxListeners(0, never);
const nobody = findUser('nobody');
const asRoot = process.getuid?.() === 0 && nobody !== undefined;
if (!asRoot) console.warn('SKIPPED: a test of sandboxes of a user of their own (it takes root, and a user nobody)');

interface Place {
  readonly root: string;
  readonly work: string;
  readonly filler: SandboxFiller;
  /** Puts a fetched file there. */
  fetched(name: string, bytes: Uint8Array | string): Promise<void>;
}

async function place(t: ExecutionContext, user = false): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'mesq-filler-'));
  if (user) await chmod(root, 0o711);
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const [files, tasks] = [join(root, 'artifacts'), join(root, 'tasks')];
  await mkdir(files);
  await mkdir(tasks);
  const filler = sandboxFiller({ files, tasks, ...(user ? { user: nobody } : {}) });
  await filler.clear(TASK);
  return {
    root,
    filler,
    work: join(tasks, TASK, 'work'),
    fetched: (name, bytes) => writeFile(join(files, name), bytes),
  };
}

async function unpacked(t: ExecutionContext, entries: readonly TarEntry[], limits = LIMITS): Promise<Place> {
  const made = await place(t);
  await made.fetched('a', tarOf(entries));
  await made.filler.unpack('a', TASK, '', limits, never);
  return made;
}

test('a task gets a copy: what it does to it, the fetched file does not see', async (t) => {
  const { filler, work, root, fetched } = await place(t);
  await fetched('a', 'one');
  await filler.copy('a', TASK, 'bin/tool', true);
  await filler.copy('a', TASK, 'data', false);
  t.is((await stat(join(work, 'bin/tool'))).mode & 0o777, 0o755);
  t.is((await stat(join(work, 'data'))).mode & 0o777, 0o644);
  await writeFile(join(work, 'data'), 'two');
  t.is(await readFile(join(root, 'artifacts/a'), 'utf8'), 'one');
  t.deepEqual((await readdir(work)).sort(), ['bin', 'data']);
});

(asRoot ? test : test.skip)(
  'a sandbox is root’s, and closed, until all is in it; then all of it is the user’s',
  async (t) => {
    const { filler, root, work, fetched } = await place(t, true);
    const asNobody = (script: string): string =>
      spawnSync('sh', ['-c', script], { uid: nobody?.uid, gid: nobody?.gid, cwd: '/', encoding: 'utf8' }).stdout;
    const tries = `cd ${work} 2>/dev/null && echo in; mv ${work} ${work}.away 2>/dev/null && echo moved`;
    await fetched('a', 'one');
    await fetched(
      'tar',
      tarOf([
        { name: 'd/f', content: 'x' },
        { name: 'l', type: '2', link: 'd' },
      ]),
    );
    const steps = [
      () => filler.copy('a', TASK, 'bin/tool', true),
      () => filler.unpack('tar', TASK, 'app', LIMITS, never),
    ];
    for (const step of steps) {
      await step();
      t.is(asNobody(tries), '');
      const { uid, mode } = await lstat(work);
      t.deepEqual([uid, mode & 0o777], [0, 0o700]);
    }
    await filler.handOver(TASK);
    t.is(asNobody(tries), 'in\n');
    t.is(asNobody(`find ${work} -user nobody | wc -l`), '7\n');
    t.is((await lstat(join(root, 'tasks', TASK))).uid, 0);
  },
);

test('any name may be asked for, also that of a copy that is not whole', async (t) => {
  const { filler, work, fetched } = await place(t);
  await fetched('a', 'one');
  for (const path of ['copy/x', '.mesq-copy/x', 'work']) await filler.copy('a', TASK, path, false);
  t.deepEqual((await readdir(work)).sort(), ['.mesq-copy', 'copy', 'work']);
});

test('a try before this one leaves nothing', async (t) => {
  const { filler, work, fetched } = await place(t);
  await fetched('a', 'one');
  await filler.copy('a', TASK, 'left/over', false);
  await filler.clear(TASK);
  t.deepEqual(await readdir(work), []);
});

test('a link that an archive left is not written through, by a copy or by the next archive', async (t) => {
  const made = await place(t);
  const { filler, root, work, fetched } = made;
  await mkdir(join(root, 'outside'));
  // However it came there.
  await symlink(join(root, 'outside'), join(work, 'way'));
  await symlink(join(root, 'outside/file'), join(work, 'file'));
  await fetched('a', 'one');
  await fetched('tar', tarOf([{ name: 'way/file', content: 'x' }]));
  await t.throwsAsync(filler.copy('a', TASK, 'way/file', false), { instanceOf: UnpackError });
  await t.throwsAsync(filler.unpack('tar', TASK, 'way', LIMITS, never), { instanceOf: UnpackError });
  await t.throwsAsync(filler.unpack('tar', TASK, '', LIMITS, never), { instanceOf: UnpackError });
  await filler.copy('a', TASK, 'file', false);
  await filler.unpack('tar', TASK, 'other', LIMITS, never);
  t.deepEqual(await readdir(join(root, 'outside')), []);
  t.true((await lstat(join(work, 'file'))).isFile());
});

test('files, folders, links within it, and modes without what only root may give', async (t) => {
  const { work } = await unpacked(t, [
    { name: './', type: '5' },
    { name: 'bin/', type: '5', mode: 0o777 },
    { name: 'bin/tool', content: '#!/bin/sh\n', mode: 0o6755 },
    { name: 'bin/same', type: '1', link: 'bin/tool' },
    { name: 'lib/deep/data', content: 'x'.repeat(5_000), mode: 0o000 },
    { name: 'lib/up', type: '2', link: '../bin/./tool' },
    { name: 'lib/here', type: '2', link: 'deep' },
  ]);
  t.is((await lstat(join(work, 'bin/tool'))).mode & 0o7777, 0o755);
  t.is(await readFile(join(work, 'bin/same'), 'utf8'), '#!/bin/sh\n');
  t.is((await lstat(join(work, 'lib/deep/data'))).size, 5_000);
  t.is((await lstat(join(work, 'lib/deep/data'))).mode & 0o7777, 0o600);
  t.is(await readlink(join(work, 'lib/up')), '../bin/./tool');
  t.is(await readFile(join(work, 'lib/up'), 'utf8'), '#!/bin/sh\n');
});

const EVIL: Readonly<Record<string, readonly TarEntry[]>> = {
  'an absolute path': [{ name: '/tmp/mesq-evil', content: 'x' }],
  'a path that climbs': [{ name: 'a/../../evil', content: 'x' }],
  'a folder that climbs': [{ name: '../evil/', type: '5' }],
  'a link to an absolute path': [{ name: 'way', type: '2', link: '/' }],
  'a link that climbs out': [{ name: 'a/way', type: '2', link: '../../evil' }],
  'a link that climbs behind a name': [
    { name: 'd/l', type: '2', link: '..' },
    { name: 'way', type: '2', link: 'd/l/../evil' },
  ],
  'a file through a link': [
    { name: 'in/', type: '5' },
    { name: 'way', type: '2', link: 'in' },
    { name: 'way/file', content: 'x' },
  ],
  'a file through a file': [
    { name: 'way', content: 'x' },
    { name: 'way/file', content: 'x' },
  ],
  'a hard link to what is not in it': [{ name: 'way', type: '1', link: '../../../../../etc/passwd' }],
  'a hard link to an absolute path': [{ name: 'way', type: '1', link: '/etc/passwd' }],
  'a hard link to a link': [
    { name: 'l', type: '2', link: 'x' },
    { name: 'way', type: '1', link: 'l' },
  ],
  'a hard link through a link': [
    { name: 'in/file', content: 'x' },
    { name: 'l', type: '2', link: 'in' },
    { name: 'way', type: '1', link: 'l/file' },
  ],
  'a character device': [{ name: 'null', type: '3' }],
  'a block device': [{ name: 'disk', type: '4' }],
  'a FIFO': [{ name: 'pipe', type: '6' }],
};

for (const [what, entries] of Object.entries(EVIL)) {
  test(`an archive with ${what} is refused`, async (t) => {
    const { filler, root, work, fetched } = await place(t);
    await fetched('a', tarOf([...entries, { name: 'behind', content: 'x' }]));
    const error = await t.throwsAsync(filler.unpack('a', TASK, '', LIMITS, never), { instanceOf: UnpackError });
    t.regex(error?.message ?? '', /holds/);
    t.deepEqual((await readdir(root)).sort(), ['artifacts', 'tasks']);
    t.false((await readdir(work)).includes('behind'));
    for (const kept of await readdir(work, { withFileTypes: true }))
      t.true(kept.isFile() || kept.isDirectory() || kept.isSymbolicLink());
  });
}

test('bombs: too many files, folders that no entry names, too many bytes said or packed', async (t) => {
  const many = Array.from({ length: 20 }, (_, at) => ({ name: `f${at}` }));
  await t.throwsAsync(unpacked(t, many, { bytes: 1_000, entries: 19 }), { message: /more than 19/ });
  await t.notThrowsAsync(unpacked(t, many, { bytes: 1_000, entries: 20 }));
  await t.throwsAsync(unpacked(t, [{ name: `${'d/'.repeat(30)}f` }], { bytes: 1_000, entries: 19 }), {
    message: /more than 19/,
  });
  const large = [
    { name: 'f', content: 'x'.repeat(600) },
    { name: 'g', content: 'x'.repeat(600) },
  ];
  await t.throwsAsync(unpacked(t, large, { bytes: 1_000, entries: 10 }), { message: /more than 1000 bytes/ });
  const { filler, work, fetched } = await place(t);
  // A thousand to one: 100 MB in 100 kB.
  await fetched('bomb', gzipSync(tarOf([{ name: 'zeros', content: Buffer.alloc(100_000_000) }])));
  await t.throwsAsync(filler.unpack('bomb', TASK, '', LIMITS, never), { message: /more than 10000000 bytes/ });
  t.false((await readdir(work)).includes('zeros'));
});

test('what is no tar, is damaged or ends early says so', async (t) => {
  const { filler, fetched } = await place(t);
  const whole = tarOf([{ name: 'f', content: 'x'.repeat(3_000) }]);
  const zipped = gzipSync(whole);
  const refused: Record<string, Uint8Array> = {
    empty: new Uint8Array(0),
    text: Buffer.from('hello'.repeat(1_000)),

    twice: gzipSync(zipped),
    short: whole.subarray(0, 1_500),
    damaged: Buffer.concat([whole.subarray(0, 4_096 - 512), Buffer.alloc(512, 'y'), Buffer.alloc(1_024)]),
    halfGzip: zipped.subarray(0, zipped.length - 12),
  };
  for (const [name, bytes] of Object.entries(refused)) {
    await fetched(name, bytes);
    const error = await t.throwsAsync(
      filler.unpack(name, TASK, name, LIMITS, never),
      { instanceOf: UnpackError },
      name,
    );
    t.regex(error?.message ?? '', /is no tar|is damaged/, name);
  }
});

test('what tar(1) packs comes out as it was, compressed or not, long names included', async (t) => {
  const { filler, root, work, fetched } = await place(t);
  const source = join(root, 'source');
  const long = `${'long-name-'.repeat(15)}.txt`;
  await mkdir(join(source, 'deep'), { recursive: true });
  await writeFile(join(source, 'deep', long), 'long');
  await writeFile(join(source, 'run.sh'), '#!/bin/sh\necho hi\n', { mode: 0o755 });
  await symlink('deep', join(source, 'way'));
  for (const [format, flags] of Object.entries({ gnu: '-cf', posix: '-czf' })) {
    const { status } = spawnSync('tar', [`--format=${format}`, flags, join(root, 'packed'), '-C', source, '.']);
    t.is(status, 0);
    await fetched(format, await readFile(join(root, 'packed')));
    await filler.unpack(format, TASK, format, LIMITS, never);
    t.is(await readFile(join(work, format, 'way', long), 'utf8'), 'long');
    t.is((await stat(join(work, format, 'run.sh'))).mode & 0o777, 0o755);
  }
});

test('withdrawn, it ends', async (t) => {
  const { filler, fetched } = await place(t);
  await fetched('a', gzipSync(tarOf([{ name: 'f', content: Buffer.alloc(9_000_000) }])));
  const withdrawn = new AbortController();
  withdrawn.abort();
  await t.throwsAsync(filler.unpack('a', TASK, '', LIMITS, withdrawn.signal));
});

test('the space of the disk', async (t) => {
  const { filler } = await place(t);
  const { freeBytes, totalBytes } = await filler.space();
  t.true(freeBytes > 0 && totalBytes >= freeBytes);
});
