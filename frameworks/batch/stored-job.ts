import * as v from 'valibot';
import { check } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { Id } from '../../protocol/ids.ts';
import { JobSpec } from '../../protocol/job.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { REASONS, TASK_STATES, type TaskState } from '../../protocol/task.ts';
import { createJob, dropWaiting, isKilled, type Job, newTask, type Phase, type Task } from './job.ts';

/**
 * How a job is kept in the framework's store, as JSON texts of at most 32 kB:
 * `job/<id>/spec` is written once, at submission; `job/<id>/state` at cancellation and at the end;
 * `job/<id>/<block>` holds the progress of 256 indices, as ranges and exceptions. Missing means unchanged.
 * Live tasks need no entry: the master tells of them when the framework registers again.
 */
export const PREFIX = 'job/';
/** With the longest words, an exception takes 85 bytes: a block stays under 22 kB. */
const BLOCK = 256;

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const StoredSpec = v.object({ format: v.literal(1), owner: Id, created: Count, spec: JobSpec });
const StoredState = v.object({
  format: v.literal(1),
  cancelled: v.boolean(),
  /** Wall-clock milliseconds of the end; null while it lives. */
  finished: v.nullable(Count),
  /** Every task finished at its first attempt: there are no blocks. */
  clean: v.boolean(),
});
const PHASES = { w: 'waiting', p: 'placed', s: 'finished', f: 'failed' } as const satisfies Record<string, Phase>;
const LETTERS = { waiting: 'w', placed: 'p', finished: 's', failed: 'f' } as const satisfies Record<
  Phase,
  keyof typeof PHASES
>;
const STATES = new Map<string, TaskState>(TASK_STATES.map((state) => [state.slice('TASK_'.length), state]));
/** `[index, phase, attempt, retries, requeues, killed, state, exit code, reason, of two attempts the one that goes on]`. */
const StoredTask = v.tuple([
  Count,
  v.picklist(['w', 'p', 's', 'f']),
  Count,
  Count,
  Count,
  v.picklist([0, 1]),
  v.picklist([...STATES.keys()]),
  v.nullable(Count),
  v.nullable(v.picklist(REASONS)),
  v.optional(Count),
]);
const StoredBlock = v.object({
  format: v.literal(1),
  done: v.array(v.tuple([Count, Count])),
  tasks: v.array(StoredTask),
});

export type StoredPart = { readonly kind: 'spec' | 'state' } | { readonly kind: 'block'; readonly block: number };

export function keyOf(job: string, part: StoredPart): string {
  return `${PREFIX}${job}/${part.kind === 'block' ? part.block : part.kind}`;
}

/** The job's id and the part, or undefined for a key that is none of ours. */
export function parseKey(key: string): { job: string; part: StoredPart } | undefined {
  const match = /^job\/([A-Za-z0-9_-]+)\/(?:(spec|state)|(\d{1,4}))$/.exec(key);
  if (match === null) return undefined;
  const [, job = '', kind, block] = match;
  if (kind === 'spec' || kind === 'state') return { job, part: { kind } };
  return { job, part: { kind: 'block', block: Number(block) } };
}

export function blockOf(index: number): number {
  return Math.floor(index / BLOCK);
}

export function blocksOf(job: Job): number {
  return Math.ceil(job.spec.count / BLOCK);
}

/** The value of `job/<id>/spec`, or a fault TOO_LARGE. */
export function encodeSpec(job: Job): string | Fault {
  const text = JSON.stringify({ format: 1, owner: job.owner, created: job.created, spec: job.spec });
  if (text.length <= LIMITS.storeValueBytes) return text;
  return new Fault(
    'TOO_LARGE',
    `the job takes ${text.length} bytes; the limit is ${LIMITS.storeValueBytes}`,
    'Shorten its arguments and environment, or put them into a file.',
  );
}

export function encodeState(job: Job): string {
  return JSON.stringify({ format: 1, cancelled: job.cancelled, finished: job.finished ?? null, clean: isClean(job) });
}

/** True where the state alone tells everything. */
export function isClean(job: Job): boolean {
  return (
    job.finished !== undefined &&
    job.counts.failed === 0 &&
    [...job.tasks.values()].every((task) => task.attempt === 0 && isPlain(task))
  );
}

/** The value of one block; null where it says nothing and needs no key. */
export function encodeBlock(job: Job, block: number): string | null {
  const first = block * BLOCK;
  const last = Math.min(job.spec.count, first + BLOCK) - 1;
  const done = job.done.slice(first, last);
  const tasks: v.InferInput<typeof StoredTask>[] = [];
  for (let index = first; index <= last; index++) {
    const task = job.tasks.get(index);
    if (task === undefined) continue;
    if (task.phase === 'finished' && task.attempt === 0 && isPlain(task)) pushRange(done, index);
    else tasks.push(encodeTask(index, task));
  }
  if (done.length === 0 && tasks.length === 0) return null;
  done.sort((one, other) => one[0] - other[0]);
  return JSON.stringify({ format: 1, done, tasks });
}

/** Nothing that the ranges would forget. */
function isPlain(task: Task): boolean {
  return task.phase === 'finished' && !task.killed && (task.exitCode ?? 0) === 0 && task.reason === undefined;
}

function pushRange(ranges: [number, number][], index: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last[1] === index - 1) last[1] = index;
  else ranges.push([index, index]);
}

function encodeTask(index: number, task: Task): v.InferInput<typeof StoredTask> {
  return [
    index,
    LETTERS[task.phase],
    task.attempt,
    task.retries,
    task.requeues,
    task.killed ? 1 : 0,
    task.state.slice('TASK_'.length),
    task.exitCode ?? null,
    task.reason ?? null,
    ...(task.kept === undefined ? [] : [task.kept]),
  ] as v.InferInput<typeof StoredTask>;
}

/** The job that the texts describe, or a fault CORRUPT that names the part. `parts` holds `spec` and whatever else there is. */
export function decodeJob(parts: ReadonlyMap<string, { part: StoredPart; value: string }>): Job | Fault {
  const stored = parse(StoredSpec, parts.get('spec')?.value, 'spec');
  if (stored instanceof Fault) return stored;
  const job = createJob(stored.spec, stored.owner, stored.created);
  const stateText = parts.get('state')?.value;
  const state = stateText === undefined ? undefined : parse(StoredState, stateText, 'state');
  if (state instanceof Fault) return state;
  for (const [name, { part, value }] of parts) {
    if (part.kind !== 'block' || state?.clean === true) continue;
    const block = parse(StoredBlock, value, name);
    if (block instanceof Fault) return block;
    takeBlock(job, block);
  }
  if (state !== undefined) takeState(job, state);
  job.begun = job.tasks.size > 0 || job.done.size > 0;
  while (job.tasks.has(job.fresh) || job.done.has(job.fresh)) job.fresh++;
  return job;
}

function takeState(job: Job, state: v.InferOutput<typeof StoredState>): void {
  if (state.clean) {
    for (let index = 0; index < job.spec.count; index++) job.done.add(index);
    Object.assign(job.counts, { waiting: 0, placed: 0, finished: job.spec.count, failed: 0 });
  }
  if (state.cancelled) {
    job.cancelled = true;
    dropWaiting(job);
  }
  const over = job.counts.waiting === 0 && job.counts.placed === 0;
  if (state.finished !== null && over) job.finished = state.finished;
}

function takeBlock(job: Job, block: v.InferOutput<typeof StoredBlock>): void {
  const { count } = job.spec;
  for (const [first, last] of block.done) {
    for (let index = first; index <= Math.min(last, count - 1); index++) {
      if (job.done.add(index)) count1(job, 'finished');
    }
  }
  for (const [index, letter, attempt, retries, requeues, killed, state, exitCode, reason, kept] of block.tasks) {
    if (index >= count || job.tasks.has(index) || job.done.has(index)) continue;
    const task = newTask(attempt);
    task.kept = kept;
    task.phase = PHASES[letter];
    Object.assign(task, { retries, requeues, killed: killed === 1, state: STATES.get(state) ?? 'TASK_STAGING' });
    Object.assign(task, { exitCode: exitCode ?? undefined, reason: reason ?? undefined });
    job.tasks.set(index, task);
    if (task.phase !== 'waiting') count1(job, task.phase);
    if (isKilled(task)) job.killed++;
  }
}

function count1(job: Job, phase: Phase): void {
  job.counts.waiting--;
  job.counts[phase]++;
}

function parse<Schema extends v.GenericSchema>(
  schema: Schema,
  text: string | undefined,
  part: string,
): v.InferOutput<Schema> | Fault {
  if (text === undefined) return new Fault('CORRUPT', `the ${part} of a stored job is missing`);
  try {
    const parsed = check(schema, JSON.parse(text));
    return parsed instanceof Fault ? new Fault('CORRUPT', `the ${part} of a stored job: ${parsed.message}`) : parsed;
  } catch {
    return new Fault('CORRUPT', `the ${part} of a stored job is not JSON`);
  }
}
