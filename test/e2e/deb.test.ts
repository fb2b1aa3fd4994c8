import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { fetchNode } from '../../tools/deb/fetch-node.ts';
import { NODE_BINARIES } from '../../tools/deb/node-binaries.ts';
import { foreignNode } from './foreign-node.ts';

const hasDpkg = spawnSync('dpkg-deb', ['--version']).status === 0;

/** Builds the packages of a version; undefined where that cannot be done here, which CI may not say. */
function build(t: ExecutionContext, folder: string, architectures: string, version: string): string | undefined {
  if (!hasDpkg) return skipped(t, 'dpkg-deb is not here');
  const argv = ['build/tools/deb.js', '--quick', '--arch', architectures, '--version', version, '--out', folder];
  // Whoever builds them may keep files to themselves.
  const { status, stdout, stderr } = spawnSync('sh', ['-c', 'umask 077; exec "$0" "$@"', process.execPath, ...argv], {
    encoding: 'utf8',
  });
  if (status === 0) return stdout;
  if (stderr.includes('no Node for')) return skipped(t, stderr);
  throw new Error(stderr);
}

function skipped(t: ExecutionContext, why: string): undefined {
  if (process.env['CI'] === 'true') t.fail(why);
  else {
    t.log(`skipped: ${why}`);
    t.pass();
  }
}

/** An empty machine, as far as dpkg is concerned. */
async function emptyRoot(folder: string, name: string): Promise<string> {
  const root = join(folder, name);
  for (const path of ['var/lib/dpkg/info', 'var/lib/dpkg/updates']) await mkdir(join(root, path), { recursive: true });
  await writeFile(join(root, 'var/lib/dpkg/status'), '');
  return root;
}

function dpkg(root: string, ...argv: string[]): string {
  // The root holds nothing else: no libc that could be depended on, no shell to run scripts in.
  const forced = ['--force-script-chrootless', '--force-depends', '--force-architecture', '--force-not-root'];
  const { status, stdout, stderr } = spawnSync('dpkg', [`--root=${root}`, '--log=/dev/null', ...forced, ...argv], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`dpkg ${argv.join(' ')}: ${stdout}${stderr}`);
  return stdout + stderr;
}

const field = (file: string, name: string): string =>
  execFileSync('dpkg-deb', ['--field', file, name], { encoding: 'utf8' }).trim();

test('a Node that is not what is pinned is in no package, and no second source is asked', async (t) => {
  const cache = await mkdtemp(join(tmpdir(), 'mesq-node-'));
  t.teardown(() => rm(cache, { recursive: true, force: true }));
  const [source] = NODE_BINARIES.arm64.sources;
  const archive = join(cache, source?.kind === 'release' ? basename(source.url) : '');
  await writeFile(archive, 'another');
  await t.throwsAsync(fetchNode('arm64', cache), { message: /is not what is pinned/ });
  t.false(existsSync(archive), 'nor is it taken for the right one the next time');
});

test('a package for each architecture, with a Node that runs there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-deb-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  if (build(t, folder, 'arm64,armhf,amd64', '0.1.0') === undefined) return;
  for (const architecture of ['amd64', 'arm64', 'armhf'] as const) {
    const file = join(folder, `mesq_0.1.0_${architecture}.deb`);
    t.is(field(file, 'Architecture'), architecture);
    t.regex(field(file, 'Depends'), /libc6 \(>= 2\.28\)/);
    const listed = execFileSync('dpkg-deb', ['--contents', file], { encoding: 'utf8' }).trim().split('\n');
    for (const line of listed) t.regex(line, /^(-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|lrwxrwxrwx) root\/root /);
    t.true(listed.some((line) => line.startsWith('-rwxr-xr-x') && line.endsWith('./usr/lib/mesq/bin/node')));
    t.true(listed.some((line) => line.endsWith('./usr/bin/mesq -> ../lib/mesq/bin/mesq')));
    t.true(listed.some((line) => line.endsWith('./usr/share/doc/mesq/docs/jobs.md')));

    const root = await emptyRoot(folder, architecture);
    dpkg(root, '--install', file);
    const library = join(root, 'usr/lib/mesq');
    t.deepEqual(await readdir(library), ['bin', 'build', 'package.json']);
    if (architecture === 'amd64' && process.arch === 'x64')
      t.is(execFileSync(join(root, 'usr/bin/mesq'), ['--version'], { encoding: 'utf8' }), '0.1.0\n');
    const foreign = architecture === 'amd64' ? undefined : foreignNode(architecture, join(library, 'bin/node'));
    if (foreign instanceof Error) skipped(t, foreign.message);
    else if (foreign !== undefined) {
      const [program = '', ...argv] = [...foreign, join(library, 'build/cli/main.js'), '--version'];
      t.is(execFileSync(program, argv, { encoding: 'utf8' }), '0.1.0\n', architecture);
    }
    dpkg(root, '--purge', 'mesq');
    t.false(existsSync(library));
    await rm(root, { recursive: true });
    await rm(file);
  }
});

test('an installed agent moves on with the package, keeps the version before, and goes with it', async (t) => {
  if (process.arch !== 'x64') return skipped(t, 'the package for this machine is tested on amd64');
  const folder = await mkdtemp(join(tmpdir(), 'mesq-deb-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  if (build(t, folder, 'amd64', '0.1.0') === undefined || build(t, folder, 'amd64', '0.2.0') === undefined) return;
  const root = await emptyRoot(folder, 'root');
  dpkg(root, '--install', join(folder, 'mesq_0.1.0_amd64.deb'));
  const mesq = join(root, 'usr/bin/mesq');
  execFileSync(mesq, ['agent', 'install', '--root', root, '--master', 'mqtt://127.0.0.1:1883'], { stdio: 'ignore' });
  const current = async (): Promise<string> => readlink(join(root, 'opt/mesq/current'));
  t.regex(await current(), /^versions\/0\.1\.0-/);
  t.is((await stat(join(root, 'opt/mesq/current/bin/node'))).nlink, 2, 'the version is a link, and takes no room');

  dpkg(root, '--install', join(folder, 'mesq_0.2.0_amd64.deb'));
  t.regex(await current(), /^versions\/0\.2\.0-/);
  const versions = (await readdir(join(root, 'opt/mesq/versions'))).sort();
  t.deepEqual(
    versions.map((name) => name.split('-')[0]),
    ['0.1.0', '0.2.0'],
  );
  t.is(
    execFileSync(join(root, 'opt/mesq/versions', versions[0] ?? '', 'bin/mesq'), ['--version']).toString(),
    '0.1.0\n',
  );

  await writeFile(join(root, 'var/lib/mesq/agent/kept'), '');
  dpkg(root, '--remove', 'mesq');
  t.false(existsSync(join(root, 'etc/systemd/system/mesq-agent.service')));
  t.false(existsSync(join(root, 'opt/mesq')));
  t.is(await readFile(join(root, 'var/lib/mesq/agent/kept'), 'utf8'), '', 'what the agent has goes with a purge alone');
  dpkg(root, '--purge', 'mesq');
  t.false(existsSync(join(root, 'var/lib/mesq')));
});
