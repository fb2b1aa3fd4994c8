import type { ExecutionContext } from 'ava';
import { type Storage, StorageError } from '../../io/storage.ts';

/** One empty disk. */
export interface StorageHarness {
  /** The files as one run of a process sees them; each call is the next run, the one before having died. */
  start(): Storage;
  /** Puts a file there behind the storage's back, as a crash or another program may. */
  plant(path: string, bytes: Uint8Array): void | Promise<void>;
}

type Check = (t: ExecutionContext, harness: StorageHarness) => Promise<void>;

const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const text = (content: Uint8Array | undefined): string | undefined =>
  content === undefined ? undefined : new TextDecoder().decode(content);

/** What every {@link Storage} promises. */
export const STORAGE_CHECKS: Readonly<Record<string, Check>> = {
  'a missing file reads as undefined, a missing folder lists as empty, removing a missing file is no error': async (
    t,
    { start },
  ) => {
    const storage = start();
    t.is(await storage.read('none'), undefined);
    t.is(await storage.read('no/such/folder'), undefined);
    t.deepEqual(await storage.list('none'), []);
    t.deepEqual(await storage.list(''), []);
    await storage.remove('none');
    await storage.remove('no/such/folder');
  },

  'replace creates with its folders, then replaces, also for the next run': async (t, { start }) => {
    const storage = start();
    await storage.replace('a/b/c', bytes('first'));
    await storage.replace('a/b/c', bytes('2nd'));
    t.is(text(await storage.read('a/b/c')), '2nd');
    const next = start();
    t.is(text(await next.read('a/b/c')), '2nd');
    await next.replace('a/b/c', new Uint8Array());
    t.deepEqual(await next.read('a/b/c'), new Uint8Array());
  },

  'replacements of one path come to rest in the order of the calls': async (t, { start }) => {
    const storage = start();
    await Promise.all(Array.from({ length: 10 }, (_, index) => storage.replace('same', bytes(`version ${index}`))));
    t.is(text(await storage.read('same')), 'version 9');
    t.deepEqual(await storage.list(''), ['same']);
  },

  'a temporary file that a crash left between write and rename is not seen and not in the way': async (t, harness) => {
    await harness.start().replace('folder/state', bytes('whole'));
    await harness.plant('folder/state.tmp', bytes('half of something lon'));
    const storage = harness.start();
    t.is(text(await storage.read('folder/state')), 'whole');
    t.deepEqual(await storage.list('folder'), ['state']);
    await storage.replace('folder/state', bytes('short'));
    t.is(text(await storage.read('folder/state')), 'short');
  },

  'list gives the names in a folder, sorted, those of folders too': async (t, { start }) => {
    const storage = start();
    for (const path of ['b', 'a', 'folder/2', 'folder/10', 'folder/deep/x', 'C'])
      await storage.replace(path, bytes('x'));
    t.deepEqual(await storage.list(''), ['C', 'a', 'b', 'folder']);
    t.deepEqual(await storage.list('folder'), ['10', '2', 'deep']);
  },

  'rename replaces within a folder': async (t, { start }) => {
    const storage = start();
    await storage.replace('f/old', bytes('old'));
    await storage.replace('f/new', bytes('new'));
    await storage.rename('f/new', 'f/old');
    t.is(text(await storage.read('f/old')), 'new');
    t.deepEqual(await storage.list('f'), ['old']);
    await t.throwsAsync(storage.rename('f/none', 'f/old'), { instanceOf: StorageError, code: 'ENOENT' });
    await t.throwsAsync(storage.rename('f/old', 'elsewhere'), { instanceOf: StorageError, code: 'EINVAL' });
  },

  'a folder is renamed with all that is in it': async (t, { start }) => {
    const storage = start();
    await storage.replace('f/a', bytes('a'));
    await storage.replace('f/deep/b', bytes('b'));
    await storage.replace('folder', bytes('c'));
    await storage.rename('f', 'g');
    t.deepEqual(await storage.list(''), ['folder', 'g']);
    await storage.replace('f/a', bytes('new'));
    const next = start();
    t.is(text(await next.read('g/a')), 'a');
    t.is(text(await next.read('g/deep/b')), 'b');
    t.is(text(await next.read('f/a')), 'new');
    await t.throwsAsync(storage.rename('f', 'g'), { instanceOf: StorageError });
  },

  'remove removes, and the next run agrees': async (t, { start }) => {
    const storage = start();
    await storage.replace('f/a', bytes('a'));
    await storage.replace('f/b', bytes('b'));
    await storage.remove('f/a');
    t.deepEqual(await storage.list('f'), ['b']);
    t.is(await start().read('f/a'), undefined);
  },

  'no path leaves the data folder': async (t, { start }) => {
    const storage = start();
    const paths = ['..', '../x', 'a/../../x', '/etc/passwd', 'a//b', './a', 'a/', '', 'a\0b', 'a/..', 'state.tmp'];
    for (const path of paths) {
      const refusal = { instanceOf: StorageError, code: 'EINVAL' };
      await t.throwsAsync(storage.read(path), refusal, path);
      await t.throwsAsync(storage.replace(path, bytes('x')), refusal, path);
      await t.throwsAsync(storage.remove(path), refusal, path);
      await t.throwsAsync(storage.open(path), refusal, path);
      await t.throwsAsync(storage.rename('a', path), refusal, path);
      await t.throwsAsync(storage.rename(path, 'a'), refusal, path);
      if (path !== '') await t.throwsAsync(storage.list(path), refusal, path);
    }
    t.deepEqual(await storage.list(''), []);
  },

  'an open file is written and read at positions, and grows with zeros between': async (t, { start }) => {
    const storage = start();
    const file = await storage.open('folder/file');
    t.is(await file.size(), 0);
    t.deepEqual(await file.read(0, 10), new Uint8Array());
    await file.write(5, bytes('there'));
    await file.write(0, bytes('hi'));
    await file.sync();
    t.is(await file.size(), 10);
    t.is(text(await file.read(0, 100)), 'hi\0\0\0there');
    t.is(text(await file.read(5, 3)), 'the');
    t.deepEqual(await file.read(10, 3), new Uint8Array());
    await file.truncate(6);
    await file.sync();
    t.is(text(await file.read(0, 100)), 'hi\0\0\0t');
    await file.close();
    t.is(text(await start().read('folder/file')), 'hi\0\0\0t');
  },

  'what is written durably is there for the next run, mixed with other writes': async (t, { start }) => {
    const file = await start().open('folder/file');
    await file.write(0, bytes('.....there'));
    await file.writeDurably(0, bytes('hi'));
    await file.writeDurably(12, bytes('!'));
    t.is(text(await file.read(0, 100)), 'hi...there\0\0!');
    await file.sync();
    await file.close();
    t.is(text(await start().read('folder/file')), 'hi...there\0\0!');
  },

  'open keeps what is there': async (t, { start }) => {
    await start().replace('file', bytes('kept'));
    const file = await start().open('file');
    await file.write(1, bytes('i'));
    await file.sync();
    t.is(text(await file.read(0, 9)), 'kipt');
    await file.close();
  },

  'bytes handed in or out are apart from the file': async (t, { start }) => {
    const storage = start();
    const content = bytes('before');
    await storage.replace('file', content);
    content.fill(0);
    const first = await storage.read('file');
    first?.fill(1);
    t.is(text(await storage.read('file')), 'before');
  },

  'large files are whole': async (t, { start }) => {
    const storage = start();
    const large = new Uint8Array(5_000_001);
    for (let at = 0; at < large.length; at++) large[at] = at * 7 + (at >> 8);
    await storage.replace('large', large);
    const file = await storage.open('larger');
    await file.write(3, large);
    await file.sync();
    t.is(storage.crc32((await storage.read('large')) ?? new Uint8Array()), storage.crc32(large));
    t.is(storage.crc32(await file.read(3, large.length)), storage.crc32(large));
    await file.close();
  },

  'crc32 is the IEEE one, and can be continued': async (t, { start }) => {
    const { crc32 } = start();
    t.is(crc32(bytes('123456789')), 0xcbf43926);
    t.is(crc32(bytes('6789'), crc32(bytes('12345'))), 0xcbf43926);
    await Promise.resolve();
  },
};
