import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { removeFolders } from '../../io/node/remove-folders.ts';

test('folders go with all in them, missing ones cost nothing, and what they point to stays', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'mesq-remove-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  await mkdir(join(root, 'kept'));
  await writeFile(join(root, 'kept', 'file'), 'x', { mode: 0o600 });
  await mkdir(join(root, 'one', 'work', '-rf *'), { recursive: true });
  await symlink(join(root, 'kept'), join(root, 'one', 'work', 'link'));
  await mkdir(join(root, 'two', 'work'), { recursive: true });
  // What a task may leave behind: folders that not even their owner may write to. Root may do so anyway.
  await mkdir(join(root, 'two', 'work', 'module'));
  await writeFile(join(root, 'two', 'work', 'module', 'go.mod'), 'x');
  await chmod(join(root, 'two', 'work', 'module'), 0o500);
  await removeFolders([join(root, 'one'), join(root, 'missing'), join(root, 'two')]);
  t.deepEqual(await readdir(root), ['kept']);
  t.deepEqual(await readdir(join(root, 'kept')), ['file']);
  await removeFolders([]);
});
