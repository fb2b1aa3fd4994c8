import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Fault } from '../../sdk/index.ts';
import { spec } from '../frameworks/batch-world.ts';
import { JobHistory } from '../sim/job-history.ts';
import { SeededRandom } from '../sim/random.ts';
import { eventually, quietPort } from './cluster.ts';
import { Quorum } from './quorum.ts';

/** A dozen with the other tests; a hundred by `npm run chaos`. */
const FAULTS = Number(process.env['MESQ_FAULTS'] ?? 12);

/** Ended jobs that batch keeps: frameworks/batch/ended-jobs.ts. */
const KEPT_JOBS = 1_000;

async function lines(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

test.serial('what was followed when the leader was killed ends normally, and each task ran once', async (t) => {
  const quorum = await Quorum.start(t, 2);
  const starts = join(quorum.folder, 'starts');
  const script = `echo "$MESQ_TASK_INDEX" >> ${starts}; until [ -e ${quorum.folder}/go ]; do sleep 0.05; done; echo done`;
  const run = quorum.spawn(['run', '--count', '4', '--cpus', '1', '--mem', '16', '--', 'sh', '-c', script]);
  await eventually(async () => (await lines(starts)).length === 4 || undefined);
  const leader = await quorum.leader();
  await quorum.masters.get(leader)?.end('SIGKILL');
  const next = await quorum.until((masters) => masters.find(({ role, id }) => role === 'leader' && id !== leader)?.id);
  const after = await quorum.spawn(['run', '--', 'echo', 'after']).ended;
  t.like(after, { code: 0, stdout: 'after\n' }, after.stderr);
  quorum.spawn(['run', '--', 'touch', join(quorum.folder, 'go')]);
  const ended = await run.ended;
  t.is(ended.code, 0, ended.stderr);
  t.is((await lines(starts)).length, 4);
  t.not(next, leader);
});

test.serial('a cluster without a majority says so, and goes on when it has one again', async (t) => {
  const quorum = await Quorum.start(t, 1);
  await Promise.all(['m1', 'm2'].map((id) => quorum.masters.get(id)?.end('SIGKILL')));
  const asked = await quorum.spawn(['jobs', '--timeout', '3s']).ended;
  t.is(asked.code, 6, asked.stderr);
  t.regex(asked.stderr, /no leader: 2 of 3 masters unreachable \(m1, m2\)/);
  quorum.startMaster('m1');
  const run = await quorum.spawn(['run', '--', 'echo', 'again']).ended;
  t.like(run, { code: 0, stdout: 'again\n' }, run.stderr);
});

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

test.serial(
  `${FAULTS} faults in a row under a stream of jobs: what was acknowledged is never missing, and finishes once`,
  async (t) => {
    const seed = Number(process.env['MESQ_SEED'] ?? Date.now() % 1_000_000);
    t.log(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const quorum = await Quorum.start(t, 3);
    const client = await quorum.client();
    const starts = join(quorum.folder, 'starts');
    const history = new JobHistory(KEPT_JOBS);
    let stop = false;
    const submit = async (): Promise<void> => {
      for (let count = 0; !stop; count++) {
        const id = `job-${count}`;
        const script = `echo "$MESQ_TASK_ID $MESQ_ATTEMPT" >> ${starts}`;
        const write = history.submitted(id);
        const resources = [
          { name: 'cpus', scalar: 500 },
          { name: 'mem', scalar: 16_000 },
        ];
        const job = spec({ job: id, argv: ['sh', '-c', script], count: 2, resources });
        const answer = await client.request('submit', job, { framework: 'batch', request: id, timeoutMs: 60_000 });
        if (answer instanceof Fault) throw new Error(`${id}: ${answer.message}`);
        history.acknowledged(write);
      }
    };
    const observe = async (): Promise<void> => {
      while (!stop) {
        const read = history.readBegun();
        const answer = await client.request('jobs', {}, { framework: 'batch', timeoutMs: 60_000 });
        if (!(answer instanceof Fault))
          history.readEnded(
            read,
            answer.jobs.map(({ id }) => id),
          );
      }
    };
    const stream = Promise.all([submit(), observe()]);
    for (let fault = 0; fault < FAULTS; fault++) {
      await breakSomething(quorum, random);
      await quorum.whole();
    }
    stop = true;
    await stream;
    t.deepEqual(history.violations(), []);
    await eventually(async () => {
      const answer = await client.request('jobs', {}, { framework: 'batch' });
      return !(answer instanceof Fault) && answer.jobs.every(({ state }) => state === 'finished') ? true : undefined;
    });
    const started = await lines(starts);
    t.is(new Set(started).size, started.length, 'no attempt of a task ran twice');
    t.true(started.length >= 2 * history.count);
    t.log(`${history.count} jobs, ${started.length} starts`);
  },
);

async function breakSomething(quorum: Quorum, random: SeededRandom): Promise<void> {
  const leader = await quorum.leader();
  const ids = [...quorum.urls.keys()];
  const any = ids[Math.floor(random.next() * ids.length)] ?? leader;
  const follower = ids.filter((id) => id !== leader)[Math.floor(random.next() * 2)] ?? any;
  const restart = async (id: string, signal: NodeJS.Signals): Promise<void> => {
    await quorum.masters.get(id)?.end(signal);
    quorum.startMaster(id);
  };
  const pause = async (id: string): Promise<void> => {
    const paused = quorum.masters.get(id);
    paused?.process.kill('SIGSTOP');
    // The others elect another, or go on without it: that is the event.
    if (id === leader) await quorum.until((masters) => masters.find((m) => m.role === 'leader' && m.id !== id)?.id);
    paused?.process.kill('SIGCONT');
  };
  const kinds: (() => Promise<unknown>)[] = [
    () => restart(leader, 'SIGKILL'),
    () => restart(leader, 'SIGKILL'),
    () => restart(follower, 'SIGKILL'),
    () => restart(any, 'SIGTERM'),
    () => pause(leader),
    () => pause(follower),
    () => quorum.spawn(['masters', 'transfer', follower]).ended,
    async () => {
      await quorum.masters.get(follower)?.end('SIGKILL');
      await rm(quorum.dataOf(follower), { recursive: true, force: true });
      quorum.startMaster(follower);
    },
  ];
  await kinds[Math.floor(random.next() * kinds.length)]?.();
}
