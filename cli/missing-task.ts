import { Fault } from '../protocol/faults.ts';
import type { TaskView } from '../protocol/job.ts';
import { isTerminal } from '../protocol/task.ts';
import { askBatch, askLeader, BATCH } from './ask.ts';
import { closest } from './closest.ts';
import { isoTime } from './output.ts';
import type { AnyTask } from './task-name.ts';
import { unknownJob } from './unknown-job.ts';
import type { Context } from './verb.ts';

/** What is wanted of a task: to be in its sandbox while it runs, or to read what it wrote there. */
type Wanted = 'enter' | 'read';

/** What is known of a task's attempts. */
interface Known {
  /** On an agent, or ended there. */
  readonly placed: readonly TaskView[];
  /** Also where it waits for a place; undefined where nothing is known. */
  readonly newest: TaskView | undefined;
}

/**
 * Says in place of the cluster's NOT_FOUND why there is nothing of a task: there is no such job, index or attempt, it waits,
 * or it has ended. The fault itself where none of that is so, and something else is missing.
 */
export async function whyMissing(context: Context, name: AnyTask, wanted: Wanted, fault: Fault): Promise<Fault> {
  const known = name.framework === BATCH ? await ofJob(context, name.task) : await ofFramework(context, name);
  if (known instanceof Fault) return known;
  const { placed, newest } = known;
  if (newest === undefined) return fault;
  const { attempt = newest.attempt } = name;
  if (attempt > newest.attempt) return noSuchAttempt(name, attempt, newest);
  if (attempt < newest.attempt) {
    if (wanted === 'enter') return earlierAttempt(name, attempt, newest);
    return placed.some((view) => view.attempt === attempt) ? fault : forgotten(name, attempt, newest);
  }
  if (isTerminal(newest.state)) return wanted === 'enter' || newest.agent === null ? ended(name, newest) : fault;
  return newest.state === 'TASK_STAGING' || newest.state === 'TASK_STARTING' ? notBegun(name, newest) : fault;
}

/** That a job has no task of that number. */
export function noSuchIndex(job: string, index: number, count: number): Fault {
  const there = count === 1 ? `one task, ${job}.0` : `${count} tasks, ${job}.0 to ${job}.${count - 1}`;
  return new Fault('NOT_FOUND', `job ${job} has ${there}: there is no ${job}.${index}`, `See mesq ps ${job}.`);
}

async function ofJob(context: Context, task: string): Promise<Known | Fault> {
  const job = task.slice(0, task.lastIndexOf('.'));
  const [found, placed, scheduled] = await Promise.all([
    askBatch(context, 'job', { job }),
    askLeader(context, 'tasks', { job }),
    askBatch(context, 'tasks', { job }),
  ]);
  if (found instanceof Fault) return found.code === 'NOT_FOUND' ? unknownJob(context, job) : found;
  const index = Number(task.slice(job.length + 1));
  if (index >= found.spec.count) return noSuchIndex(job, index, found.spec.count);
  if (placed instanceof Fault) return placed;
  if (scheduled instanceof Fault) return scheduled;
  return known(placed.tasks, scheduled.tasks, { framework: BATCH, task });
}

async function ofFramework(context: Context, name: AnyTask): Promise<Known | Fault> {
  const { framework, task } = name;
  const [frameworks, placed] = await Promise.all([
    askLeader(context, 'frameworks', {}),
    askLeader(context, 'tasks', {}),
  ]);
  if (frameworks instanceof Fault) return frameworks;
  const names = frameworks.frameworks.map(({ name }) => name);
  if (!names.includes(framework)) {
    const meant = closest(framework, names);
    const hint = meant === undefined ? 'mesq frameworks lists them.' : `Did you mean ${meant}/${task}?`;
    return new Fault('NOT_FOUND', `there is no framework ${framework}`, hint);
  }
  if (placed instanceof Fault) return placed;
  return known(placed.tasks, [], name);
}

function known(
  placed: readonly TaskView[],
  scheduled: readonly TaskView[],
  { framework, task }: Pick<AnyTask, 'framework' | 'task'>,
): Known {
  const isMeant = (view: TaskView): boolean => view.framework === framework && view.id === task;
  const ofTask = placed.filter(isMeant);
  let newest: TaskView | undefined;
  // Of the same attempt the leader's word counts.
  for (const view of [...ofTask, ...scheduled.filter(isMeant)])
    if (newest === undefined || view.attempt > newest.attempt) newest = view;
  return { placed: ofTask, newest };
}

function notBegun(name: AnyTask, { agent, message }: TaskView): Fault {
  const task = shown(name);
  if (agent === null)
    return new Fault('NOT_NOW', `task ${task} waits: it has not been placed yet`, `See mesq why ${whole(name)}.`);
  const how = message === null ? '' : `: ${message}`;
  const list = name.framework === BATCH ? `mesq ps ${whole(name)}` : 'mesq ps';
  return new Fault(
    'NOT_NOW',
    `task ${task} is on agent ${agent} and has not begun yet${how}`,
    `Repeat it in a moment; ${list} shows how it goes.`,
  );
}

function ended(name: AnyTask, view: TaskView): Fault {
  const task = shown(name);
  if (view.agent === null && view.state !== 'TASK_FINISHED')
    return new Fault(
      'NOT_FOUND',
      `task ${task} never ran: it ${endOf(view)}${view.message === null ? '' : ` (${view.message})`}`,
      'So it has no output and no files.',
    );
  return new Fault(
    'NOT_FOUND',
    `task ${task} does not run any more: it ${endOf(view)}`,
    view.agent === null
      ? 'It is forgotten where it ran, and with it what it wrote.'
      : `What it wrote: mesq logs ${task}; a file it left: mesq fetch ${task} PATH.`,
  );
}

function noSuchAttempt(name: AnyTask, attempt: number, newest: TaskView): Fault {
  const task = shown(name);
  const hint = `Without an attempt the newest is meant: ${task}.`;
  return new Fault('NOT_FOUND', `task ${task} has no attempt ${attempt}: its newest is ${newest.attempt}`, hint);
}

function earlierAttempt(name: AnyTask, attempt: number, newest: TaskView): Fault {
  const task = shown(name);
  const now = isTerminal(newest.state)
    ? `the newest, ${newest.attempt}, ${endOf(newest)}`
    : `the newest is ${newest.attempt}, ${bare(newest.state)}`;
  return new Fault(
    'NOT_FOUND',
    `attempt ${attempt} of task ${task} does not run any more: ${now}`,
    isTerminal(newest.state) ? `What it wrote: mesq logs ${written(name, attempt)}.` : `That one is meant by ${task}.`,
  );
}

function forgotten(name: AnyTask, attempt: number, newest: TaskView): Fault {
  const task = shown(name);
  return new Fault(
    'NOT_FOUND',
    `nothing is known any more of attempt ${attempt} of task ${task}`,
    `Its newest is ${newest.attempt}, which ${task} alone means.`,
  );
}

/** `ended FINISHED at 2026-…` */
function endOf({ state, finished }: TaskView): string {
  return `ended ${bare(state)}${finished === null ? '' : ` at ${isoTime(finished)}`}`;
}

function bare(state: TaskView['state']): string {
  return state.slice('TASK_'.length);
}

/** As people write it. */
function shown({ framework, task }: AnyTask): string {
  return framework === BATCH ? task : `${framework}/${task}`;
}

function written(name: AnyTask, attempt: number): string {
  return `${shown(name)}${name.framework === BATCH ? '.' : '/'}${attempt}`;
}

/** What `mesq why` takes of it. */
function whole({ framework, task }: AnyTask): string {
  return framework === BATCH ? task.slice(0, task.lastIndexOf('.')) : framework;
}
