import { setTimeout as pause } from 'node:timers/promises';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { type Bullmq, startBullmq } from './bullmq.ts';
import { type LauncherFloor, measureLauncherFloor } from './launcher-floor.ts';
import { benchFolder, endLauncher, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';
import { startSlurm } from './slurm.ts';

const NEEDS = 'cpus:0.1;mem:32';
/** At least this part of the launcher's own loop, more than BullMQ, and so many times Slurm. */
const PART = 0.8;
const TIMES_SLURM = 8;
/** Slurm takes half a minute for a thousand; its rate is the same for fewer. */
const MOST_OF_SLURM = 400;
const ROUNDS = 3;

/** Tasks a second, from submit to all of them FINISHED, and to the last acknowledgement committed in the registry. */
interface JobRate {
  readonly finished: number;
  readonly acknowledged: number;
}

/** A job, and the loops that were measured just before it: a machine is not equally busy all the time. */
interface Round {
  readonly rate: JobRate;
  readonly floor: LauncherFloor;
  /** Jobs a second; undefined where it is not installed. */
  readonly bullmq: number | undefined;
}

/**
 * A job of `tasks` × /bin/true through a real master and a real agent, with room for all of them and with two slots,
 * beside the same number of starts in loops: over the same launcher, over Node's spawn, over xargs. The median of three
 * rounds, after a first job that pays for code which is compiled once in a process's life. With room for all, BullMQ has
 * its turn in each round and Slurm one after them, where they are installed; where not, that is said.
 */
export async function measureJobRate(
  parent: string,
  tasks: number,
  bullmqModules: string | undefined,
): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const bullmq = await startBullmq(folder.path, bullmqModules);
  if (typeof bullmq === 'string') console.log(`BullMQ is left out: ${bullmq}`);
  const peer = typeof bullmq === 'string' ? undefined : bullmq;
  const wide = await throughCluster(parent, tasks, 'cpus:32;mem:32768', 320, peer);
  await peer?.stop();
  const rows = rowsOf(`${tasks} × /bin/true, cpus:32;mem:32768`, wide.first, wide.rounds);
  const slurm = await startSlurm(folder.path);
  if (typeof slurm === 'string') console.log(`Slurm is left out: ${slurm}`);
  else {
    const count = Math.min(tasks, MOST_OF_SLURM);
    const ours = middleOf(wide.rounds, ({ rate }) => rate.acknowledged);
    rows.push(rowOfSlurm(count, await slurm.rate(count), ours));
    await slurm.stop();
  }
  folder.remove();
  const narrow = await throughCluster(parent, tasks, 'cpus:0.2;mem:32768', 2, undefined);
  return [...rows, ...rowsOf(`${tasks} × /bin/true, 2 slots`, narrow.first, narrow.rounds)];
}

async function throughCluster(
  parent: string,
  tasks: number,
  resources: string,
  concurrency: number,
  bullmq: Bullmq | undefined,
): Promise<{ readonly first: JobRate; readonly rounds: readonly Round[] }> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const agent = await startAgentPart(folder.path, 'a1', master.url, resources);
  const { client, close } = await connectClient(master.url, 'bench');
  const first = await runJob(client, tasks);
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const floor = await measureLauncherFloor(tasks, concurrency, parent);
    rounds.push({ floor, rate: await runJob(client, tasks), bullmq: await bullmq?.rate(tasks) });
  }
  await close();
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  folder.remove();
  return { first, rounds };
}

function middleOf(rounds: readonly Round[], of: (round: Round) => number): number {
  return quantile(rounds.map(of), 0.5);
}

function perSecond(rate: number): string {
  return `${rate.toFixed(0)}/s`;
}

function rowOfSlurm(count: number, slurm: number, ours: number): Measured {
  return {
    what: `the same against Slurm, tuned, 8 × slurmd with 4 slots, an array of ${count}`,
    value: `${(ours / slurm).toFixed(1)} times`,
    beside: `Slurm ${slurm.toFixed(1)}/s`,
    target: `≥ ${TIMES_SLURM} times`,
    met: ours >= TIMES_SLURM * slurm,
  };
}

function rowsOf(label: string, first: JobRate, rounds: readonly Round[]): Measured[] {
  const acknowledged = middleOf(rounds, ({ rate }) => rate.acknowledged);
  const part = middleOf(rounds, ({ rate, floor }) => rate.acknowledged / floor.launcher);
  const loop = (of: (floor: LauncherFloor) => number): string => perSecond(middleOf(rounds, ({ floor }) => of(floor)));
  const rows: Measured[] = [
    {
      what: `${label}: submit → all acknowledged`,
      value: `${perSecond(acknowledged)} (ratio ${part.toFixed(2)})`,
      beside: `launcher loop ${loop(({ launcher }) => launcher)}, spawn ${loop(({ spawn }) => spawn)}, xargs -P2 ${loop(({ xargs }) => xargs)}`,
      target: `≥ ${PART} of the loop`,
      met: part >= PART,
    },
    {
      what: `${label}: submit → all FINISHED`,
      value: perSecond(middleOf(rounds, ({ rate }) => rate.finished)),
      beside: `the first job of a fresh cluster ${perSecond(first.finished)}`,
      target: undefined,
      met: undefined,
    },
  ];
  const peers = rounds.flatMap(({ bullmq }) => (bullmq === undefined ? [] : [bullmq]));
  if (peers.length > 0) {
    const times = middleOf(rounds, ({ rate, bullmq }) => rate.acknowledged / (bullmq ?? Number.NaN));
    rows.push({
      what: 'the same against BullMQ with Redis, which only spawns it',
      value: `${times.toFixed(2)} times`,
      beside: `BullMQ ${perSecond(quantile(peers, 0.5))}, the better of 8 and 32 at once`,
      target: '> 1 time',
      met: times > 1,
    });
  }
  return rows;
}

/** Submits a job and follows it to its end. Throws where one task does not finish. */
async function runJob(client: Client, count: number): Promise<JobRate> {
  const needs = parseResources(NEEDS);
  if (needs instanceof Fault) throw needs;
  const job = `b${randomWord(systemRandom, 8)}`;
  const begin = performance.now();
  const submitted = await client.request(
    'submit',
    { job, argv: ['/bin/true'], count, resources: [...needs] },
    { framework: 'batch' },
  );
  if (submitted instanceof Fault) throw submitted;
  let tally = { finished: 0, failed: 0 };
  for await (const part of client.watch(job, { framework: 'batch' })) {
    if (part instanceof Fault) throw part;
    tally = part.job.tasks;
  }
  const finishedMs = performance.now() - begin;
  if (tally.finished !== count) throw new Error(`${tally.finished} of ${count} tasks finished, ${tally.failed} failed`);
  const quietMs = (await lastCommit(client)) - begin;
  return { finished: (count / finishedMs) * 1_000, acknowledged: (count / quietMs) * 1_000 };
}

/** When the registry's index was first seen at its last value: an acknowledgement is a commit like any other. */
async function lastCommit(client: Client): Promise<number> {
  const quietMs = 100;
  let index = -1;
  let since = performance.now();
  while (performance.now() - since < quietMs) {
    const answer = await client.request('masters', {});
    if (answer instanceof Fault) throw answer;
    const now = answer.masters[0]?.commitIndex ?? 0;
    if (now !== index) {
      index = now;
      since = performance.now();
    }
    await pause(2);
  }
  return since;
}
