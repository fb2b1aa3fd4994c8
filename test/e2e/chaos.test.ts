import test from 'ava';
import { Fault } from '../../sdk/index.ts';
import { SeededRandom } from '../sim/random.ts';
import { breakAndMend, CHAOS_FAULTS, shuffledRounds } from './chaos-faults.ts';
import { JobStream } from './job-stream.ts';
import { Quorum } from './quorum.ts';

/** Each kind once with the other tests; a hundred by `npm run chaos`. MESQ_SEED repeats a sequence. */
const FAULTS = Number(process.env['MESQ_FAULTS'] ?? 19);
const AGENTS = 10;

test(`${FAULTS} faults in a row under a stream of jobs: what was acknowledged is never missing, and finishes once`, async (t) => {
  const seed = Number(process.env['MESQ_SEED'] ?? Date.now() % 1_000_000);
  t.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const quorum = await Quorum.start(t, AGENTS, { roads: true, resources: 'cpus:1;mem:64;disk:64' });
  const client = await quorum.client();
  const stream = new JobStream(client, quorum.folder, await quorum.loyalClients());
  const tally = new Map(Object.keys(CHAOS_FAULTS).map((kind) => [kind, 0]));
  const kinds = shuffledRounds([...tally.keys()], random);
  for (let fault = 1; fault <= FAULTS; fault++) {
    const kind = kinds.next().value;
    const told = await Promise.race([breakAndMend(kind, { quorum, stream, random }), stream.failure]);
    tally.set(kind, (tally.get(kind) ?? 0) + 1);
    t.log(`${fault}. ${kind}: ${told}, ${stream.jobs} jobs`);
  }
  await stream.stop();
  t.deepEqual(await stream.violations(), []);
  for (const [kind, times] of tally) t.log(`${times} × ${kind}`);
  const { all, again } = await stream.starts();
  t.log(`${stream.jobs} jobs, ${all} starts, of which ${again} not a first attempt`);

  await quorum.whole();
  const told: unknown[] = [];
  for (const master of quorum.urls.keys()) {
    await quorum.handOver(master);
    const jobs = await client.request('jobs', {}, { framework: 'batch' });
    if (jobs instanceof Fault) throw new Error(jobs.message);
    told.push(jobs.jobs);
  }
  t.deepEqual(told[1], told[0]);
  t.deepEqual(told[2], told[0]);
});
