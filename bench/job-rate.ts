import { setTimeout as pause } from 'node:timers/promises';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { type LauncherFloor, measureLauncherFloor } from './launcher-floor.ts';
import { benchFolder, endLauncher, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const TASKS = 1_000;
const NEEDS = 'cpus:0.1;mem:32';
/** At least this many a second, or this part of the launcher's own loop. */
const RATE = 400;
const PART = 0.6;
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
}

/**
 * A job of 1,000 × /bin/true through a real master and a real agent, with room for all of them and with two slots,
 * beside the same number of starts in loops: over the same launcher, over Node's spawn, over xargs. The median of three
 * rounds, after a first job that pays for code which is compiled once in a process's life.
 */
export async function measureJobRate(parent: string): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const [label, resources, concurrency] of [
    ['cpus:32;mem:32768', 'cpus:32;mem:32768', 320],
    ['2 slots', 'cpus:0.2;mem:32768', 2],
  ] as const) {
    rows.push(...(await throughCluster(parent, label, resources, concurrency)));
  }
  return rows;
}

async function throughCluster(
  parent: string,
  label: string,
  resources: string,
  concurrency: number,
): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const agent = await startAgentPart(folder.path, 'a1', master.url, resources);
  const { client, close } = await connectClient(master.url, 'bench');
  const first = await runJob(client, TASKS);
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const floor = await measureLauncherFloor(TASKS, concurrency, parent);
    rounds.push({ floor, rate: await runJob(client, TASKS) });
  }
  await close();
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  folder.remove();
  return rowsOf(`${TASKS} × /bin/true, ${label}`, first, rounds);
}

function rowsOf(label: string, first: JobRate, rounds: readonly Round[]): Measured[] {
  const middle = (of: (round: Round) => number): number => quantile(rounds.map(of), 0.5);
  const per = (rate: number): string => `${rate.toFixed(0)}/s`;
  const acknowledged = middle(({ rate }) => rate.acknowledged);
  const part = middle(({ rate, floor }) => rate.acknowledged / floor.launcher);
  return [
    {
      what: `${label}: submit → all acknowledged`,
      value: `${per(acknowledged)} (ratio ${part.toFixed(2)})`,
      beside: `launcher loop ${per(middle(({ floor }) => floor.launcher))}, spawn ${per(middle(({ floor }) => floor.spawn))}, xargs -P2 ${per(middle(({ floor }) => floor.xargs))}`,
      target: `≥ ${RATE}/s or ≥ ${PART}`,
      met: acknowledged >= RATE || part >= PART,
    },
    {
      what: `${label}: submit → all FINISHED`,
      value: per(middle(({ rate }) => rate.finished)),
      beside: `the first job of a fresh cluster ${per(first.finished)}`,
      target: undefined,
      met: undefined,
    },
  ];
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
