import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { removeFolders } from '../../io/node/remove-folders.ts';

test.serial('folders go with all in them, missing ones cost nothing, and what they point to stays', async (t) => {
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

test.serial(
  'nobody comes into a folder that goes; one that is filled again and again is left, and the others go',
  async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'mesq-remove-'));
    const path = process.env['PATH'];
    t.teardown(async () => {
      process.env['PATH'] = path;
      await rm(root, { recursive: true, force: true });
    });
    const folders = ['one', 'grows', 'two'].map((name) => join(root, 'tasks', name));
    for (const folder of folders) {
      await mkdir(join(folder, 'work'), { recursive: true });
      await chmod(folder, 0o711);
    }
    // It finds another file each time that it looks.
    const endless = `#!/bin/sh
for each; do [ -d "$each" ] && stat -c %a "$each" >>${root}/modes; done
case "$*" in *grows*) exec sleep 600 ;; esac
PATH='${path}' exec rm "$@"
`;
    await mkdir(join(root, 'bin'));
    await writeFile(join(root, 'bin/rm'), endless, { mode: 0o755 });
    await writeFile(join(root, 'bin/chmod'), `#!/bin/sh\necho asked >${root}/chmod\n`, { mode: 0o755 });
    process.env['PATH'] = `${join(root, 'bin')}:${path}`;
    await t.throwsAsync(removeFolders(folders, { togetherMs: 500, aloneMs: 5_000 }), { message: /grows/ });
    t.deepEqual(await readdir(join(root, 'tasks')), ['grows']);
    const modes = (await readFile(join(root, 'modes'), 'utf8')).trim().split('\n');
    t.deepEqual([...new Set(modes)], ['700']);
    if (process.geteuid?.() === 0) t.false((await readdir(root)).includes('chmod'), 'root changes no mode by name');
  },
);
