import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';

const NEEDS = 'cpus:0.1;mem:32';

export interface JobWishes {
  readonly argv: string[];
  readonly count?: number;
  /** Only where the attribute `kind` is this. */
  readonly on?: string;
  readonly restart?: 'never' | 'on-failure' | 'always';
}

/** Submits a job of small tasks and returns its id. Throws where it is refused. */
export async function submitJob(
  client: Client,
  { argv, count = 1, restart = 'never', on }: JobWishes,
): Promise<string> {
  const needs = parseResources(NEEDS);
  if (needs instanceof Fault) throw needs;
  const job = `j${randomWord(systemRandom, 8)}`;
  const body = {
    job,
    argv,
    count,
    restart,
    resources: [...needs],
    ...(on === undefined ? {} : { constraints: [`kind==${on}`] }),
  };
  const submitted = await client.request('submit', body, { framework: 'batch' });
  if (submitted instanceof Fault) throw submitted;
  return job;
}

/** Resolves when so many of its tasks run, by the agent's word: a job counts a task as running from its placement on. */
export async function tasksRun(client: Client, job: string, count = 1): Promise<void> {
  const running = new Set<number>();
  for await (const part of client.watch(job, { framework: 'batch' })) {
    if (part instanceof Fault) throw part;
    for (const { index, state } of part.changed)
      if (state === 'TASK_RUNNING') running.add(index);
      else running.delete(index);
    if (running.size === count) return;
  }
  throw new Error(`job ${job} ended early`);
}

export async function cancelJob(client: Client, job: string): Promise<void> {
  const cancelled = await client.request('cancel', { job }, { framework: 'batch' });
  if (cancelled instanceof Fault) throw cancelled;
}

/** Resolves when nothing of it runs any more. */
export async function jobEnded(client: Client, job: string): Promise<void> {
  for await (const part of client.watch(job, { framework: 'batch' })) if (part instanceof Fault) throw part;
}
