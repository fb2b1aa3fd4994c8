import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { checkBash } from '../../cli/start-checks.ts';
import { PRE_INSTALL } from '../../tools/deb/files.ts';

/** A PATH on which these programs say what they say on another system. */
async function otherSystem(t: ExecutionContext, says: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-other-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(says))
    await writeFile(join(folder, name), `#!/bin/sh\necho '${text}'\n`, { mode: 0o755 });
  return `${folder}:${process.env['PATH']}`;
}

const JETPACK_4 = { uname: 'aarch64', getconf: 'glibc 2.27', dpkg: 'arm64' };

test('the package names a system that cannot run it, and what to do there, before it is unpacked', async (t) => {
  const install = async (says: Readonly<Record<string, string>>, root = '') => {
    const env = { PATH: await otherSystem(t, says), DPKG_ROOT: root };
    return spawnSync('sh', ['-c', PRE_INSTALL, 'preinst', 'install'], { env, encoding: 'utf8' });
  };
  const jetpack = await install(JETPACK_4);
  t.is(jetpack.status, 1);
  t.regex(jetpack.stderr, /glibc 2\.27 \(JetPack 4/);
  t.regex(jetpack.stderr, /npm run image -- --arch arm64\n/);
  const zero = await install({ uname: 'armv6l', getconf: 'glibc 2.36' });
  t.is(zero.status, 1);
  t.regex(zero.stderr, /ARMv6/);
  for (const glibc of ['2.28', '2.31', '2.41', '3.0'])
    t.like(await install({ ...JETPACK_4, getconf: `glibc ${glibc}` }), { status: 0, stderr: '' }, glibc);
  t.is((await install(JETPACK_4, '/mnt/image')).status, 0, 'the builder of an image is another machine');
});

test.serial('mesq doctor fails a bash that is too old, and tells of the container', async (t) => {
  const path = process.env['PATH'];
  t.teardown(() => {
    process.env['PATH'] = path;
  });
  process.env['PATH'] = await otherSystem(t, { bash: '4.4.20(1)-release' });
  const old = await checkBash();
  t.like(old, { name: 'bash', state: 'fail', text: '4.4.20(1)-release' });
  t.regex(old.hint ?? '', /npm run image/);
  process.env['PATH'] = path;
  t.is((await checkBash()).state, 'ok');
});
