import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { runScript } from '../../io/node/run-script.ts';
import { findUser } from '../../io/node/users.ts';

const nobody = findUser('nobody');

(process.getuid?.() === 0 && nobody !== undefined ? test : test.skip)(
  'what a task has in its environment decides nothing before the user is changed',
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'mesq-run-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    for (const name of ['work', 'bin']) await mkdir(join(folder, name));
    const own = join(folder, 'bin', 'setpriv');
    await writeFile(own, '#!/bin/sh\necho it ran as $(/usr/bin/id -u)\n', { mode: 0o755 });
    await writeFile(join(folder, 'bin', 'hello'), '#!/bin/sh\necho "hello $(/usr/bin/id -un) $TMPDIR"\n', {
      mode: 0o755,
    });
    const environment = { PATH: join(folder, 'bin'), TMPDIR: '/mine' };
    const start = { folder: 'f', argv: ['hello'], environment };
    await writeFile(join(folder, 'run'), runScript(start, { user: nobody }));
    execFileSync('/bin/bash', ['run'], { cwd: folder });
    const said = execFileSync('/bin/cat', [join(folder, 'stdout')], { encoding: 'utf8' });
    t.is(said, 'hello nobody /mine\n');
  },
);
