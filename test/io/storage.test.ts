import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { lockFolder } from '../../io/node/folder-lock.ts';
import { fileStorage } from '../../io/node/storage.ts';
import { StorageError } from '../../io/storage.ts';
import { STORAGE_CHECKS } from '../conformance/storage.ts';
import { SeededRandom } from '../sim/random.ts';
import { SimulatedDisk } from '../sim/storage.ts';

async function temporaryFolder(t: { teardown(fn: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mesquite-storage-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const text = (content: Uint8Array | undefined): string | undefined =>
  content === undefined ? undefined : new TextDecoder().decode(content);

for (const [name, check] of Object.entries(STORAGE_CHECKS)) {
  test(`simulated disk: ${name}`, async (t) => {
    const disk = new SimulatedDisk();
    await check(t, {
      start: () => {
        disk.kill();
        return disk.storage();
      },
      plant: (path, content) => disk.poke(path, content),
    });
  });

  test(`simulated disk, with a power cut at each start: ${name}`, async (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const disk = new SimulatedDisk();
      const random = new SeededRandom(seed);
      await check(t, {
        start: () => {
          disk.crash(random);
          return disk.storage();
        },
        plant: (path, content) => disk.poke(path, content),
      });
    }
  });

  test(`real disk: ${name}`, async (t) => {
    const root = join(await temporaryFolder(t), 'data');
    await check(t, {
      start: () => fileStorage(root),
      plant: async (path, content) => {
        await mkdir(dirname(join(root, path)), { recursive: true });
        await writeFile(join(root, path), content);
      },
    });
  });
}

test('real disk: files are 0600 and folders 0700', async (t) => {
  const root = join(await temporaryFolder(t), 'new', 'data');
  const storage = fileStorage(root);
  await storage.replace('a/secret', bytes('x'));
  await (await storage.open('b/opened')).close();
  for (const [path, mode] of [
    ['', 0o700],
    ['a', 0o700],
    ['a/secret', 0o600],
    ['b', 0o700],
    ['b/opened', 0o600],
  ] as const) {
    t.is((await stat(join(root, path))).mode & 0o777, mode, path);
  }
});

test('real disk: a refusal carries the platform’s code and the path as it was given', async (t) => {
  const root = await temporaryFolder(t);
  const storage = fileStorage(root);
  await storage.replace('file', bytes('x'));
  const refused = await t.throwsAsync(storage.replace('file/below', bytes('x')), { instanceOf: StorageError });
  t.true(['ENOTDIR', 'EEXIST'].includes(refused?.code ?? ''), refused?.code);
  t.is(refused?.path, 'file/below');
  await t.throwsAsync(storage.list('file'), { instanceOf: StorageError, code: 'ENOTDIR' });
  await mkdir(join(root, 'folder'));
  await t.throwsAsync(storage.read('folder'), { instanceOf: StorageError, code: 'EISDIR' });
});

test('simulated disk: a power cut at any step of a replacement leaves the old content or the new', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    for (let crashAt = 1; ; crashAt++) {
      const disk = new SimulatedDisk();
      await disk.storage().replace('f/state', bytes('old'));
      const outcome = await runUntilPowerCut(disk, disk.steps + crashAt, () =>
        disk.storage().replace('f/state', bytes('new')),
      );
      disk.crash(new SeededRandom(seed));
      const content = text(await disk.storage().read('f/state'));
      if (outcome === 'done') {
        t.is(content, 'new');
        break;
      }
      t.true(content === 'old' || content === 'new', `step ${crashAt}: ${content}`);
    }
  }
});

test('simulated disk: what was not synced may be torn, what was synced is whole', async (t) => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    const disk = new SimulatedDisk();
    const file = await disk.storage().open('file');
    await file.write(0, bytes('AAAA'));
    await file.sync();
    await file.write(4, bytes('BBBB'));
    disk.crash(new SeededRandom(seed));
    seen.add(text(await disk.storage().read('file')) ?? 'none');
  }
  t.true(
    [...seen].every((content) => content.startsWith('AAAA')),
    [...seen].join(),
  );
  t.true(seen.has('AAAA') && seen.has('AAAABBBB') && seen.has('AAAAB'), [...seen].join());
});

test('simulated disk: it fills up, and syncs fail, when told to', async (t) => {
  const disk = new SimulatedDisk();
  disk.capacity = 10;
  const file = await disk.storage().open('file');
  await file.write(0, new Uint8Array(10));
  await t.throwsAsync(file.write(10, new Uint8Array(1)), { instanceOf: StorageError, code: 'ENOSPC' });
  disk.failingSyncs = 1;
  await t.throwsAsync(file.sync(), { instanceOf: StorageError, code: 'EIO' });
  await file.sync();
  disk.crash(new SeededRandom(1));
  t.deepEqual(await disk.storage().read('file'), new Uint8Array(), 'a sync repeated after a failure saves nothing');
});

test('one process holds a folder; the next is told which, and gets it after release', async (t) => {
  const folder = join(await temporaryFolder(t), 'x'.repeat(120));
  const first = await lockFolder(folder);
  if ('heldBy' in first) return t.fail();
  t.deepEqual(await lockFolder(folder), { heldBy: process.pid });
  t.deepEqual(await lockFolder(folder), { heldBy: process.pid }, 'being refused harms nothing');
  await first.release();
  const second = await lockFolder(folder);
  t.false('heldBy' in second);
  if (!('heldBy' in second)) await second.release();
  t.deepEqual(await readdir(folder), []);
});

test('of many at once at most one gets the folder', async (t) => {
  const folder = await temporaryFolder(t);
  const locks = await Promise.all(Array.from({ length: 8 }, () => lockFolder(folder)));
  const held = locks.filter((lock) => !('heldBy' in lock));
  t.true(held.length <= 1);
  for (const lock of held) if (!('heldBy' in lock)) await lock.release();
});

test('a lock dies with its process, however it dies', async (t) => {
  const folder = await temporaryFolder(t);
  const script = `import(process.argv[1]).then(m => m.lockFolder(process.argv[2])).then(() => { console.log('held'); setInterval(() => {}, 1000); })`;
  const module = new URL('../../io/node/folder-lock.js', import.meta.url).href;
  const child = spawn(process.execPath, ['-e', script, module, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  t.deepEqual(await lockFolder(folder), { heldBy: child.pid });
  child.kill('SIGKILL');
  await exited;
  t.is((await readdir(folder)).length, 1, 'its file is still there');
  const lock = await lockFolder(folder);
  if ('heldBy' in lock) return t.fail();
  await lock.release();
  t.deepEqual(await readdir(folder), []);
});

test('a folder that cannot be made is a storage error', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'file'), 'x');
  await chmod(join(folder, 'file'), 0o600);
  await t.throwsAsync(lockFolder(join(folder, 'file', 'below')), { instanceOf: StorageError, code: 'ENOTDIR' });
});

/** Does `work`, but for what the power cut at `step` stops. */
function runUntilPowerCut(disk: SimulatedDisk, step: number, work: () => Promise<void>): Promise<'done' | 'cut'> {
  const cut = new Promise<'cut'>((resolve) => {
    disk.crashAt = step;
    disk.onPowerCut = () => resolve('cut');
  });
  return Promise.race([cut, work().then(() => 'done' as const)]);
}
