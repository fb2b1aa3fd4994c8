import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { quietPort } from '../quiet-port.ts';
import { eventually } from './cluster.ts';
import { JobStream } from './job-stream.ts';
import { Quorum } from './quorum.ts';

async function lines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

test.serial(
  'what was followed when the leader was killed ends normally, on a metered link too, and each task ran once',
  async (t) => {
    const quorum = await Quorum.start(t, 0);
    quorum.startAgent('a1');
    quorum.startAgent('a2', ['--metered', '--attributes', 'link:metered']);
    await quorum.agentsActive();
    const starts = join(quorum.folder, 'starts');
    const script = `echo "$MESQ_TASK_INDEX" >> ${starts}; until [ -e ${quorum.folder}/go ]; do sleep 0.05; done; echo done`;
    // Two of them fit on each.
    const run = quorum.spawn(['run', '--count', '4', '--cpus', '1.5', '--mem', '16', '--', 'sh', '-c', script]);
    await eventually(async () => (await lines(starts)).length === 4 || undefined);
    const leader = await quorum.leader();
    await quorum.masters.get(leader)?.end('SIGKILL');
    const next = await quorum.until(
      (masters) => masters.find(({ role, id }) => role === 'leader' && id !== leader)?.id,
    );
    const after = await quorum.spawn(['run', '--constraint', 'link==metered', '--', 'echo', 'after']).ended;
    t.like(after, { code: 0, stdout: 'after\n' }, after.stderr);
    quorum.spawn(['run', '--', 'touch', join(quorum.folder, 'go')]);
    const ended = await run.ended;
    t.is(ended.code, 0, ended.stderr);
    t.is((await lines(starts)).length, 4);
    t.not(next, leader);
  },
);

test.serial('a cluster without a majority says so, and goes on when it has one again', async (t) => {
  const quorum = await Quorum.start(t, 1);
  await Promise.all(['m1', 'm2'].map((id) => quorum.masters.get(id)?.end('SIGKILL')));
  const asked = await quorum.spawn(['jobs', '--timeout', '3s']).ended;
  t.is(asked.code, 6, asked.stderr);
  t.regex(asked.stderr, /no leader: 2 of 3 masters unreachable \(m1, m2\)/);
  const table = await quorum.spawn(['masters', '--timeout', '3s']).ended;
  t.is(table.code, 6, table.stderr);
  t.regex(table.stderr, /no leader: 2 of 3 masters unreachable \(m1, m2\)/);
  t.regex(
    table.stdout,
    /^ID +ROLE +TERM +VERSION +URL\nm1 +unreachable .*\nm2 +unreachable .*\nm3 +follower +\d+ +[\d.]+ +mqtt:.*\n$/,
  );
  // All of them were down, and one is back: it does not even know who may ask.
  await quorum.masters.get('m3')?.end('SIGKILL');
  const alone = quorum.startMaster('m3');
  await alone.said(/no leader known/);
  const early = await quorum.spawn(['masters', '--timeout', '3s']).ended;
  t.is(early.code, 6, early.stderr);
  t.regex(early.stderr, /knows no leader[\s\S]*Start the masters that cannot be reached/);
  quorum.startMaster('m1');
  const run = await quorum.spawn(['run', '--', 'echo', 'again']).ended;
  t.like(run, { code: 0, stdout: 'again\n' }, run.stderr);
});

test.serial(
  'masters that are frozen accept connections and answer none: what the other sees is told in time',
  async (t) => {
    const quorum = await Quorum.start(t, 1);
    const leader = await quorum.leader();
    const [alone = ''] = [...quorum.masters.keys()].filter((id) => id !== leader);
    const frozen = [...quorum.masters].filter(([id]) => id !== alone);
    const told = quorum.says(alone, /no leader known/);
    for (const [, master] of frozen) master.process.kill('SIGSTOP');
    try {
      await told;
      const table = await quorum.spawn(['masters', '--timeout', '15s']).ended;
      t.is(table.code, 6, table.stderr);
      t.regex(table.stderr, /no leader/);
      t.regex(table.stdout, new RegExp(`^${alone} +(follower|candidate) `, 'm'), table.stderr);
      for (const [id] of frozen) t.regex(table.stdout, new RegExp(`^${id} +unreachable `, 'm'));
    } finally {
      for (const [, master] of frozen) master.process.kill('SIGCONT');
    }
  },
);

test.serial('a new master is brought up to date, votes, and lets another go', async (t) => {
  const quorum = await Quorum.start(t, 1);
  t.is((await quorum.spawn(['run', '--', 'true']).ended).code, 0);
  const url = `mqtt://127.0.0.1:${await quietPort()}`;
  quorum.urls.set('m4', url);
  quorum.startMaster('m4');
  const added = await quorum.spawn(['masters', 'add', `m4=${url}`]).ended;
  t.is(added.code, 0, added.stderr);
  await quorum.until((masters) => masters.find(({ id, voter }) => id === 'm4' && voter)?.id);
  const leader = await quorum.leader();
  // A change waits until the one before is committed.
  await eventually(async () => (await quorum.spawn(['masters', 'remove', leader]).ended).code === 0 || undefined);
  await quorum.masters.get(leader)?.end('SIGKILL');
  await quorum.until((masters) => (masters.length === 3 && masters.every(({ id }) => id !== leader)) || undefined);
  const run = await quorum.spawn(['run', '--', 'echo', 'replaced']).ended;
  t.like(run, { code: 0, stdout: 'replaced\n' }, run.stderr);
});

test.serial('a leader cut off from the other masters, and from nobody else, answers no more and is left', async (t) => {
  const quorum = await Quorum.start(t, 2, { roads: true });
  t.is((await quorum.spawn(['run', '--', 'true']).ended).code, 0);
  const leader = await quorum.leader();
  for (const other of quorum.urls.keys()) if (other !== leader) quorum.network.part(leader, other);
  const run = await quorum.spawn(['run', '--count', '2', '--cpus', '4', '--', 'echo', 'moved']).ended;
  t.like(run, { code: 0, stdout: 'moved\nmoved\n' }, run.stderr);
  // The agents have moved too: both of them ran it.
  const alone = await quorum.spawn(['jobs', '--url', quorum.urls.get(leader) ?? '', '--timeout', '3s']).ended;
  t.is(alone.code, 6, alone.stdout);
  quorum.network.mend();
  await quorum.whole();
  t.not(await quorum.leader(), leader);
});

test.serial('each master is upgraded in turn under a stream of jobs, and nobody notices', async (t) => {
  const quorum = await Quorum.start(t, 2);
  const stream = new JobStream(await quorum.client(), quorum.folder);
  for (const id of quorum.urls.keys()) {
    await stream.submit();
    await quorum.upgrade(id);
  }
  await stream.stop();
  t.deepEqual(await stream.violations(), []);
  t.like(await stream.starts(), { again: 0 });
});
