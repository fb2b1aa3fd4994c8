import { execFileSync } from 'node:child_process';
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readUpload } from '../../cli/start-upload.ts';
import type { ReadUpload } from '../../cli/terminal.ts';
import { writtenUpload } from '../../cli/uploads.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { SeededRandom } from '../sim/random.ts';

async function temporary(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-upload-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function read(path: string, kind: 'file' | 'folder' = 'folder'): Promise<ReadUpload> {
  const upload = await readUpload(path, kind);
  if (upload instanceof Fault) throw new Error(upload.message);
  return upload;
}

async function contentOf(upload: ReadUpload): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < upload.blocks.length; at++) {
    const bytes = await upload.read(at);
    if (bytes instanceof Fault) throw new Error(bytes.message);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

/** Every path with what is under it: of a file its bytes, of a link where it leads. */
async function listing(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of (await readdir(folder, { recursive: true })).sort()) {
    const about = await lstat(join(folder, path));
    if (about.isSymbolicLink()) found[path] = `-> ${await readlink(join(folder, path))}`;
    else found[path] = about.isFile() ? await readFile(join(folder, path), 'hex') : 'folder';
  }
  return found;
}

/** Files of all sizes: small ones, some of several blocks, and some that fill their last block exactly. */
async function work(folder: string): Promise<string> {
  const random = new SeededRandom(5);
  await mkdir(join(folder, 'src', 'deep'), { recursive: true });
  await mkdir(join(folder, 'empty'));
  for (let at = 0; at < 400; at++)
    await writeFile(join(folder, 'src', `s${at}`), random.bytes(at < 40 ? at * 37 : 700));
  for (const size of [16_384 - 512, 32_768 - 512, 32_768, 100_000])
    await writeFile(join(folder, 'src', 'deep', `l${size}`), random.bytes(size));
  return folder;
}

test('a folder is a tar that tar unpacks to the same folder', async (t) => {
  const folder = await temporary(t);
  const from = await work(join(folder, 'from'));
  const long = `${'long-'.repeat(30)}name`;
  await mkdir(join(from, long));
  await writeFile(join(from, long, `${'x'.repeat(120)}`), 'long');
  await writeFile(join(from, 'grüße'), 'grün');
  await writeFile(join(from, 'tool'), '#!/bin/sh\n');
  await chmod(join(from, 'tool'), 0o755);
  await chmod(join(from, 'grüße'), 0o600);
  await symlink('../tool', join(from, 'src', 'link'));
  const upload = await read(from);
  t.is(upload.files, 407);
  t.true(upload.blocks.every(({ size }) => size > 0 && size <= LIMITS.chunkBytes));
  const into = join(folder, 'into');
  await mkdir(into);
  execFileSync('tar', ['-x', '-C', into], { input: await contentOf(upload) });
  t.deepEqual(await listing(into), await listing(from));
  t.is((await stat(join(into, 'tool'))).mode & 0o777, 0o755);
  t.is((await stat(join(into, 'grüße'))).mode & 0o777, 0o600);
  t.is(await readlink(join(into, 'src', 'link')), '../tool');
});

test('the same folder has the same name, wherever it is, whenever it was written', async (t) => {
  const folder = await temporary(t);
  const from = await work(join(folder, 'from'));
  await cp(from, join(folder, 'copy'), { recursive: true });
  await utimes(join(folder, 'copy', 'src', 's7'), 1, 1);
  t.is((await read(from)).manifest.blob, (await read(join(folder, 'copy'))).manifest.blob);
});

test('one file changed, added or removed leaves the blocks of the others as they are', async (t) => {
  const folder = await temporary(t);
  const from = await work(join(folder, 'from'));
  const before = new Set((await read(from)).blocks.map(({ hash }) => hash));
  const news = async (): Promise<number> => (await read(from)).blocks.filter(({ hash }) => !before.has(hash)).length;
  t.is(await news(), 0);
  const changes: [path: string, content: string | undefined][] = [
    ['src/s40', 'another content'],
    ['src/s40b', 'a new file'],
    ['src/s3', undefined],
    ['src/s', 'in front of all'],
    ['src/deep/l100000', 'much shorter'],
  ];
  for (const [path, content] of changes) {
    const copy = join(folder, 'kept');
    await cp(from, copy, { recursive: true });
    if (content === undefined) await rm(join(from, path));
    else await writeFile(join(from, path), content);
    const count = await news();
    t.true(
      count >= (content === undefined ? 0 : 1) && count <= 6,
      `${path}: ${count} of ${before.size} blocks are new`,
    );
    await rm(from, { recursive: true });
    await cp(copy, from, { recursive: true });
    await rm(copy, { recursive: true });
  }
});

test('the history of version control stays at home; what cannot travel is refused by name', async (t) => {
  const folder = await temporary(t);
  const from = await work(join(folder, 'from'));
  const clean = await read(from);
  await mkdir(join(from, 'src', '.git'));
  await writeFile(join(from, 'src', '.git', 'HEAD'), 'ref');
  const upload = await read(from);
  t.is(upload.skipped, 1);
  t.is(upload.manifest.blob, clean.manifest.blob);
  const refusal = async (): Promise<string> => {
    const refused = await readUpload(from, 'folder');
    return refused instanceof Fault ? `${refused.code} ${refused.message}` : 'taken';
  };
  for (const target of ['/etc/passwd', '../outside', 'src/../../x']) {
    await symlink(target, join(from, 'bad-link'));
    t.regex(await refusal(), /^BAD_USAGE the link .*bad-link leads out of the folder/, target);
    await rm(join(from, 'bad-link'));
  }
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(from, 'socket'), resolve));
  t.regex(await refusal(), /^BAD_USAGE .*socket is neither a file, a folder nor a link/);
  await new Promise((resolve) => server.close(resolve));
  await writeFile(join(from, 'sparse'), '');
  await truncate(join(from, 'sparse'), 600 * 1_048_576);
  t.regex(await refusal(), /^TOO_LARGE .* an upload may have 512 MB/);
  t.regex(String(((await readUpload(join(from, 'sparse'), 'file')) as Fault).message), /600\.0 MB/);
});

test('what changes between its hash and its way is told, and never sent under the old name', async (t) => {
  const folder = await temporary(t);
  const file = join(folder, 'data');
  await writeFile(file, 'x'.repeat(50_000));
  const upload = await read(file, 'file');
  await writeFile(file, 'y'.repeat(50_000));
  const changed = await upload.read(1);
  t.true(changed instanceof Fault && changed.code === 'CONFLICT');
  await writeFile(file, 'x'.repeat(40_000));
  t.true((await upload.read(1)) instanceof Fault);
  t.false((await upload.read(0)) instanceof Fault);
});

test('a file is itself, empty or not; missing and mistaken ones are refused', async (t) => {
  const folder = await temporary(t);
  const file = join(folder, 'f');
  await writeFile(file, '');
  t.is((await contentOf(await read(file, 'file'))).length, 0);
  await writeFile(file, 'z'.repeat(70_000));
  await chmod(file, 0o755);
  const upload = await read(file, 'file');
  t.true(upload.executable);
  t.true((await contentOf(upload)).equals(await readFile(file)));
  for (const [path, kind] of [
    [folder, 'file'],
    [file, 'folder'],
    [join(folder, 'none'), 'file'],
    [join(folder, 'none'), 'folder'],
  ] as const) {
    const refused = await readUpload(path, kind);
    t.true(refused instanceof Fault && refused.code === 'BAD_USAGE', `${kind} ${path}`);
  }
});

test('the last colon tells where it goes', (t) => {
  t.deepEqual(writtenUpload('folder', '.'), { kind: 'folder', path: '.', into: undefined });
  t.deepEqual(writtenUpload('file', 'a:b:c/d'), { kind: 'file', path: 'a:b', into: 'c/d' });
});
