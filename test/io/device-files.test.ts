import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { linuxAdapter } from '../../firmware-adapters/linux/linux-adapter.ts';
import { deviceFiles } from '../../io/node/device-files.ts';
import { ReadGate } from '../../io/node/read-gate.ts';
import { eventually } from '../e2e/cluster.ts';
import { RASPBERRY_PI_5 } from '../firmware-adapters/fixtures/machines.ts';
import { machineFiles } from '../firmware-adapters/machine-files.ts';

const SECOND = 1_000;
/** Longer than any test takes: what ends sooner did not end by time. */
const LONG = 60 * SECOND;

async function folder(t: { teardown: (remove: () => Promise<void>) => void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mesq-device-files-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : new TextDecoder().decode(bytes));

test('reads the start of a file and the first names of a folder, below its root', async (t) => {
  const root = await folder(t);
  await mkdir(join(root, 'sys'));
  await writeFile(join(root, 'sys', 'b'), 'hello');
  await writeFile(join(root, 'sys', 'a'), '');
  await writeFile(join(root, 'sys', 'c'), '');
  const files = deviceFiles(root);
  t.is(text(await files.read('/sys/b', 100, LONG)), 'hello');
  t.is(text(await files.read('/sys/b', 2, LONG)), 'he');
  t.deepEqual(await files.list('/sys', 2, LONG), ['a', 'b']);
  t.is(files.host(), undefined);
});

test('what is missing, a folder, or beyond the root reads as undefined', async (t) => {
  const root = await folder(t);
  const outside = await folder(t);
  await writeFile(join(outside, 'secret'), 'x');
  await symlink(join(outside, 'secret'), join(root, 'link'));
  await mkdir(join(root, 'folder'));
  const files = deviceFiles(root);
  t.is(await files.read('/none', 10, LONG), undefined);
  t.is(await files.read('/folder', 10, LONG), undefined);
  t.is(await files.read('/link', 10, LONG), undefined);
  t.is(await files.read(`/../${outside.split('/').at(-1)}/secret`, 10, LONG), undefined);
  t.is(await files.list('/none', 10, LONG), undefined);
  t.is(await files.disk(join(root, 'none'), LONG), undefined);
});

test('a named pipe without a writer does not hang it', async (t) => {
  const root = await folder(t);
  execFileSync('mkfifo', [join(root, 'pipe')]);
  t.is(text(await deviceFiles(root).read('/pipe', 10, LONG)), '');
});

test('gives up on what never answers or fails', async (t) => {
  const gate = new ReadGate();
  t.is(await gate.pass('a', 1, () => new Promise(() => {})), undefined);
  t.is(await gate.pass('b', LONG, () => Promise.reject(new Error('no'))), undefined);
  t.is(await gate.pass('c', LONG, () => Promise.resolve(7)), 7);
});

test('what hangs is not asked again until it has answered, and leaves a thread to others', async (t) => {
  const gate = new ReadGate();
  const answers: (() => void)[] = [];
  let asked = 0;
  const hang = () => {
    asked++;
    return new Promise<number>((settle) => answers.push(() => settle(1)));
  };
  const read = () => Promise.resolve(2);
  t.is(await gate.pass('sick', 1, hang), undefined);
  t.is(await gate.pass('sick', LONG, hang), undefined);
  t.is(asked, 1);
  t.is(await gate.pass('well', LONG, read), 2);
  // Many at once, of which the first never come back: no more than three are ever out.
  const all = await Promise.all(['x', 'y', 'z', 'w'].map((name) => gate.pass(name, 1, hang)));
  t.deepEqual(all, [undefined, undefined, undefined, undefined]);
  t.is(asked, 3);
  t.is(await gate.pass('well', LONG, read), undefined);
  for (const answer of answers) answer();
  await new Promise((turn) => setImmediate(turn));
  t.is(await gate.pass('sick', LONG, read), 2);
});

/** Rejects once there is no such process, or none but a dead one that nobody has buried. */
async function aliveNoMore(pid: number): Promise<void> {
  for (;;) {
    process.kill(pid, 0);
    const state = / ([A-Z]) /.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.[1];
    if (state === undefined || state === 'Z') throw Object.assign(new Error('dead'), { code: 'ESRCH' });
    await new Promise((turn) => setImmediate(turn));
  }
}

test('runs a program of PATH without a shell, and ends it when it has said enough or takes too long', async (t) => {
  const files = deviceFiles();
  t.is(text(await files.run('printf', ['%s|', '$HOME', 'a b', '`id`'], 100, LONG)), '$HOME|a b|`id`|');
  t.is(text(await files.run('sh', ['-c', 'echo in-band; exit 3'], 100, LONG)), 'in-band\n');
  t.is(text(await files.run('yes', [], 4, LONG)), 'y\ny\n');
  t.is(text(await files.run('sh', ['-c', 'echo first; sleep 1000'], 100, 3 * SECOND)), 'first\n');
  // Killed, but nobody has heard of its end yet: as one that no signal reaches, it is not started beside itself.
  t.is(text(await files.run('yes', ['once'], 4, LONG)), 'once');
  t.is(await files.run('yes', ['once'], 4, LONG), undefined);
  t.is(text(await files.run('yes', ['other'], 4, LONG)), 'othe');
  t.is(text(await eventually(() => files.run('yes', ['once'], 4, LONG))), 'once');
  const left = Number(text(await files.run('sh', ['-c', 'sleep 1000 & echo $!'], 100, 3 * SECOND)));
  t.true(left > 0);
  await t.throwsAsync(aliveNoMore(left), { code: 'ESRCH' }, 'what it has left behind is killed with it');
  t.is(await files.run('no-such-program-here', [], 100, LONG), undefined);
  t.is(await files.run('/bin/echo', ['x'], 100, LONG), undefined);
  t.is(await deviceFiles(await folder(t)).run('echo', ['x'], 100, LONG), undefined);
});

test('knows this machine', async (t) => {
  const files = deviceFiles();
  const host = files.host();
  t.true(host !== undefined && host.cpus >= 1 && host.memoryBytes > 0 && host.hostname !== '');
  const disk = await files.disk(tmpdir(), LONG);
  t.true(disk !== undefined && disk.totalBytes >= disk.freeBytes && disk.totalBytes > 0);
  t.true(text(await files.read('/proc/meminfo', 65_536, LONG))?.startsWith('MemTotal:'));
});

test('a probe sees the same on disk as in memory', async (t) => {
  const root = await folder(t);
  for (const [path, content] of Object.entries(RASPBERRY_PI_5)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  const onDisk = deviceFiles(root);
  const disk = await onDisk.disk(root, LONG);
  const found = await linuxAdapter({
    files: { ...onDisk, disk: () => Promise.resolve(disk) },
    dataFolder: root,
  }).probe();
  const expected = await linuxAdapter({ files: machineFiles(RASPBERRY_PI_5, disk), dataFolder: root }).probe();
  t.deepEqual(found, expected);
});
