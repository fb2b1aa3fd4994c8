import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Board, otherVersion } from './board.ts';
import { Cluster, eventually, MESQ, start, survivors } from './cluster.ts';
import { securedMaster } from './secured-master.ts';

const UNIT = 'etc/systemd/system/mesq-agent.service';
const DATA = 'var/lib/mesq/agent';
const hasAnalyzer = spawnSync('systemd-analyze', ['--version']).status === 0;
if (!hasAnalyzer) console.error('no systemd-analyze here: units are not verified');

async function image(t: ExecutionContext): Promise<{
  root: string;
  mesq: (argv: readonly string[], environment?: NodeJS.ProcessEnv) => ReturnType<typeof start>['ended'];
}> {
  const root = await mkdtemp(join(tmpdir(), 'mesq-image-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const mesq = (argv: readonly string[], environment: NodeJS.ProcessEnv = {}): ReturnType<typeof start>['ended'] =>
    start(process.execPath, [MESQ, 'agent', argv[0] ?? '', '--root', root, ...argv.slice(1)], environment).ended;
  return { root, mesq };
}

async function tree(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).sort();
}

test('a unit that systemd takes, a token that stands on no command line, and nothing left afterwards', async (t) => {
  const { root, mesq } = await image(t);
  const before = await tree(root);
  const token = 'attic:abcdefghijklmnopqrstuvwxyz234567';
  const settings = ['--master', 'mqtts://m1:8883,mqtts://m2:8883', '--attributes', 'site:the roof;load:5%;cost:$3'];
  const done = await mesq(['install', '--json', ...settings], { MESQ_TOKEN: token });
  t.is(done.code, 0, done.stderr);
  const said = JSON.parse(done.stdout) as { changed: string[]; clean: boolean; exposure: string; started: boolean };
  t.false(said.started, 'nothing runs in an image');
  if (hasAnalyzer) {
    t.true(said.clean, done.stdout);
    t.regex(said.exposure, /^\d\.\d (OK|MEDIUM)$/);
    t.true(Number.parseFloat(said.exposure) <= 7.2, said.exposure);
  } else if (process.env['CI'] === 'true') t.fail('systemd-analyze is asked for');

  const unit = await readFile(join(root, UNIT), 'utf8');
  t.false(unit.includes(token.slice(6)));
  for (const line of ['KillMode=process', 'Delegate=yes', 'NoNewPrivileges=yes', 'ProtectSystem=full'])
    t.true(unit.includes(`\n${line}\n`), line);
  t.regex(unit, /"site:the roof;load:5%%;cost:\$\$3"/);
  t.is((await stat(join(root, 'etc/mesq/agent.env'))).mode & 0o777, 0o600);
  t.is((await stat(join(root, DATA))).mode & 0o777, 0o700);
  t.is((await stat(join(root, DATA, '..'))).mode & 0o777, 0o755, "the tasks' own user passes it");
  t.is(await readFile(join(root, 'etc/mesq/agent.env'), 'utf8'), `MESQ_TOKEN=${token}\n`);

  const again = await mesq(['install', '--json', ...settings]);
  t.deepEqual((JSON.parse(again.stdout) as { changed: string[] }).changed, [], 'the same again changes nothing');
  const renamed = await mesq(['install', '--json', ...settings, '--metered']);
  t.deepEqual((JSON.parse(renamed.stdout) as { changed: string[] }).changed, [`/${UNIT}`]);
  const bare = await mesq(['install', '--master', 'mqtt://localhost:1883']);
  t.true(bare.stdout.includes(`wrote ${root}/${UNIT}\n`), bare.stdout);
  t.true(bare.stdout.includes('\ndropped: --attributes site:the roof;load:5%;cost:$3, --metered\n'), bare.stdout);
  t.regex(bare.stderr, /warning: mqtt:\/\/localhost:1883 is each board's own machine/);
  const noNode = `started with ${process.execPath}, which is not there in ${root}`;
  t.true(bare.stderr.includes(noNode), bare.stderr);
  const whole = await image(t);
  await mkdir(dirname(join(whole.root, process.execPath)), { recursive: true });
  await writeFile(join(whole.root, process.execPath), '');
  t.notRegex(
    (await whole.mesq(['install', '--master', 'mqtts://m1:8883'], { MESQ_TOKEN: token })).stderr,
    /started with/,
  );
  t.regex(bare.stderr, /tasks will run as root, for there is no user mesq-task/);
  await writeFile(join(root, 'etc/passwd'), 'mesq-task:x:990:990::/:/usr/sbin/nologin\n');
  const safe = await mesq(['install', '--master', 'mqtt://localhost:1883']);
  t.notRegex(safe.stderr, /as root/);
  await rm(join(root, 'etc/passwd'));

  await mkdir(join(root, 'usr/lib/aarch64-linux-gnu/systemd'), { recursive: true });
  const library = (version: number): string =>
    join(root, `usr/lib/aarch64-linux-gnu/systemd/libsystemd-shared-${version}.so`);
  await writeFile(library(257), '');
  await mesq(['install', ...settings]);
  t.true((await readFile(join(root, UNIT), 'utf8')).includes('\nDelegateSubgroup=agent\n'), 'of the image');
  await rename(library(257), library(249));
  await mesq(['install', ...settings]);
  t.false((await readFile(join(root, UNIT), 'utf8')).includes('DelegateSubgroup'));
  await rm(join(root, 'usr'), { recursive: true });

  const gone = await mesq(['uninstall']);
  t.is(gone.code, 0, gone.stderr);
  const left = (await tree(root)).filter(
    (path) => !before.includes(path) && !['opt', 'run', 'etc', 'var'].includes(path),
  );
  t.deepEqual(
    left.filter((path) => !/^(etc\/systemd(\/system(\/multi-user\.target\.wants)?)?|var\/lib)$/.test(path)),
    [],
    'folders of the system alone are left',
  );
  t.is((await mesq(['uninstall'])).stdout, 'there was no agent\n');

  await mesq(['install', '--master', 'mqtt://localhost:1883', '--data', '/srv/the edge']);
  t.true(existsSync(join(root, 'srv/the edge')));
  t.regex((await mesq(['uninstall'])).stdout, /removed \/srv\/the edge\n/);
  t.false(existsSync(join(root, 'srv/the edge')));
  t.true(existsSync(join(root, 'srv')), 'not ours');
});

test('what cannot be a service is refused before anything is written', async (t) => {
  const { root, mesq } = await image(t);
  const local = ['install', '--master', 'mqtt://127.0.0.1:1883'];
  const refused: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['install', '--master', 'mqtts://m1:8883'], 2, /there is no token/],
    [['install', '--master', 'm1'], 2, /no URL of a master/],
    [['install'], 2, /needs to be told its masters/],
    [[...local, '--name', 'a b'], 2, /not allowed/],
    [[...local, '--data', 'here'], 2, /--data here/],
    [[...local, '--token-file', join(root, 'none')], 2, /there is no file/],
    [[...local, '--resources', 'cpus:x'], 2, /cpus:x/],
    [[...local, '--attributes', 'roof'], 2, /roof/],
    [[...local, '--log', 'loud'], 2, /there is no level loud/],
    [[...local, '--ca', join(root, 'none.pem')], 2, /--ca: there is no file/],
    [[...local, '--root', join(root, 'none')], 2, /is no folder/],
    [[...local, '--sysroot', '/none'], 2, /there is no folder \/none/],
    [['upgrade'], 3, /no agent is installed/],
    [['upgrade', '--wait', 'long'], 2, /a number/],
  ];
  for (const [argv, code, message] of refused) {
    const done = await mesq(argv);
    t.is(done.code, code, argv.join(' '));
    t.regex(done.stderr, message);
  }
  t.is((await mesq(local, { MESQ_TOKEN: 'a:b\nEVIL=1' })).code, 2);
  const plain = await mesq(['install', '--master', 'mqtt://m1:1883'], { MESQ_TOKEN: 'attic:abcdefghijklmnop' });
  t.is(plain.code, 7);
  t.regex(plain.stderr, /the token would travel over a plain connection to m1: use mqtts/);
  const others = await mesq([...local, '--name', 'cellar'], { MESQ_TOKEN: 'attic:abcdefghijklmnopqrstuvwxyz234567' });
  t.is(others.code, 2);
  t.regex(others.stderr, /the token is for attic/);
  t.deepEqual(await tree(root), []);
});

test('a service whose machine lacks something waits, and can be told to stop meanwhile', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-service-'));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  const argv = ['agent', '--master', 'mqtt://127.0.0.1:1', '--data', join(folder, 'agent'), '--devices', 'gpus/none'];
  const service = start(process.execPath, [MESQ, ...argv], { MESQ_SERVICE: 'yes' });
  await service.said(/there is no gpus\/none: this service waits 30 s/);
  // Nothing but time is waited for: a process that nothing holds would be gone by now.
  t.is(await Promise.race([service.ended.then(({ code }) => code), pause(2_000, 'waits')]), 'waits');
  t.is((await service.end('SIGTERM')).code, 0);
});

test('a board joins, its task outlives an upgrade, a broken version and a version that runs nowhere; nothing is left of it', async (t) => {
  const cluster = await Cluster.start(t, {});
  const { secure, certificate } = await securedMaster(cluster);
  const { token } = await cluster.json<{ token: string }>('token', 'create', '--role', 'join', '--name', 'roof');
  const board = await Board.make(cluster, 'board');
  t.teardown(() => board.run(['uninstall', '--force']));
  const settings = [
    '--master',
    secure,
    '--ca',
    certificate,
    '--resources',
    'cpus:1;mem:256',
    '--attributes',
    'site:roof',
  ];
  const installed = await board.run(['install', ...settings, '--sysroot', board.path('machine')], token);
  t.is(installed.code, 0, installed.stdout + installed.stderr);
  const version = async (): Promise<string | undefined> =>
    JSON.parse(await readFile(board.path('run/mesq-agent/contact.json'), 'utf8').catch(() => '{}')).version;
  await eventually(async () => (await version()) === '0.1.0' || undefined);
  t.false(existsSync(board.path(`${DATA}/join-token`)), 'used, and gone');
  t.true(existsSync(board.path(`${DATA}/credential.json`)));

  const stop = join(cluster.folder, 'stop');
  const job = await cluster.submit('--', 'sh', '-c', `echo $$; until [ -e ${stop} ]; do sleep 0.1; done; echo done`);
  const running = await cluster.task(job, 'TASK_RUNNING');
  const alive = (): Promise<number> => survivors(board.path(`${DATA}/tasks`)).then((pids) => pids.length);
  t.true((await alive()) > 0);

  const next = await otherVersion(join(cluster.folder, 'v2'), '0.2.0');
  const upgraded = await board.run(['upgrade', next]);
  t.is(upgraded.code, 0, upgraded.stderr + (await board.journal()));
  t.is(upgraded.stdout, '0.1.0 → 0.2.0\n');
  t.is(await version(), '0.2.0');
  t.is((await board.run(['upgrade', next])).stdout, '0.2.0 is what runs already\n');

  const broken = "if (process.argv[2] === '--version') console.log('0.3.0'); else throw new Error('broken by design');";
  const bad = await board.run([
    'upgrade',
    await otherVersion(join(cluster.folder, 'v3'), '0.3.0', broken),
    '--wait',
    '3s',
  ]);
  t.is(bad.code, 1, bad.stdout);
  t.regex(bad.stderr, /going back to 0\.2\.0[\s\S]*0\.2\.0 runs again/);
  t.regex(await board.journal(), /broken by design/);
  t.is(await version(), '0.2.0');

  const dead = await board.run(['upgrade', await otherVersion(join(cluster.folder, 'v4'), '0.3.1', 'process.exit(4)')]);
  t.regex(dead.stderr, /does not run on this machine/);
  const far = await board.run(['upgrade', await otherVersion(join(cluster.folder, 'v5'), '0.9.0')]);
  t.regex(far.stderr, /more than one version/);
  t.is((await readdir(board.path('opt/mesq/versions'))).length, 1, 'what failed is not kept');

  const [after] = await cluster.tasks(job);
  t.like(after, { state: 'TASK_RUNNING', attempt: running.attempt, started: running.started });
  t.is((await board.run(['uninstall'])).code, 1, 'a task runs');
  await writeFile(stop, '');
  t.is(await cluster.end(job), 'TASK_FINISHED');
  t.regex((await cluster.mesq('logs', job)).stdout, /^\d+\ndone\n$/, 'one process, from the first version to the last');

  const second = await cluster.submit('--', 'sleep', '600');
  await cluster.task(second, 'TASK_RUNNING');
  const gone = await board.run(['uninstall', '--force']);
  t.is(gone.code, 0, gone.stderr);
  t.is(await alive(), 0);
  for (const path of [UNIT, 'etc/mesq', 'opt/mesq', 'var/lib/mesq', 'run/mesq-agent'])
    t.false(existsSync(board.path(path)), path);
});
