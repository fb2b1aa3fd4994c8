import type * as v from 'valibot';
import { check, cut } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { BATCH_OPERATIONS, type JobSpec } from '../../protocol/job.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { Principal } from '../../protocol/operator.ts';
import { shownUri } from '../../protocol/shown-uri.ts';
import type { ClientRequest } from '../../sdk/index.ts';
import type { Job } from './job.ts';
import { viewJob, viewTask } from './views.ts';

export type BatchOp = keyof typeof BATCH_OPERATIONS;

/** A request that was understood and is allowed: `op` and its checked body. */
export type BatchRequest = {
  [Op in BatchOp]: { readonly op: Op; readonly body: v.InferOutput<(typeof BATCH_OPERATIONS)[Op]['body']> };
}[BatchOp];

/** Views answered to one `tasks`, at most. */
const MOST_TASKS = LIMITS.jobCount;
const HIDDEN = '***';
const READERS = new Set(['viewer', 'user', 'operator']);
const USERS = new Set(['user', 'operator']);

/** Checks a request's shape and its principal's role. Faults: NOT_FOUND for an op that batch has not, BAD_JOB, BAD_SHAPE, NOT_ALLOWED. */
export function readRequest({
  op,
  body,
  principal,
}: Pick<ClientRequest, 'op' | 'body' | 'principal'>): BatchRequest | Fault {
  if (!isBatchOp(op)) return new Fault('NOT_FOUND', `the batch framework has no operation ${op}`);
  const operation = BATCH_OPERATIONS[op];
  if (!(operation.role === 'user' ? USERS : READERS).has(principal.role)) {
    return new Fault(
      'NOT_ALLOWED',
      `${op} takes the role ${operation.role}; ${principal.name} has the role ${principal.role}`,
    );
  }
  const checked = check(operation.body, body);
  if (!(checked instanceof Fault)) return { op, body: checked } as BatchRequest;
  return op === 'submit' ? new Fault('BAD_JOB', checked.message) : checked;
}

/** A user speaks for their own jobs, an operator for everybody's. */
export function mayChange(principal: Principal, job: Job): boolean {
  return principal.role === 'operator' || principal.name === job.owner;
}

/** The job as it was submitted; values of its environment, which often are secrets, only for whom it belongs to. */
export function specFor(principal: Principal, job: Job): JobSpec {
  const { spec } = job;
  if (mayChange(principal, job)) return spec;
  const environment = Object.fromEntries(Object.keys(spec.environment).map((name) => [name, HIDDEN]));
  // Nor the signatures and passwords in addresses.
  const artifacts = spec.artifacts?.map((artifact) => ({ ...artifact, uri: shownUri(artifact.uri) }));
  return { ...spec, environment, ...(artifacts === undefined ? {} : { artifacts }) };
}

/** The parts of the answer to `jobs`, newest first. */
export function jobsParts(jobs: Iterable<Job>): object[] {
  const views = [...jobs].map(viewJob).sort((one, other) => other.created - one.created);
  return cut(views, LIMITS.partBytes - 1_024).map((part) => ({ jobs: part }));
}

/** The parts of the answer to `tasks`, made one at a time: of one job every task, else the unfinished ones of all, up to 10,000. */
export function* tasksParts(jobs: Iterable<Job>, all: boolean, framework: string): Generator<{ tasks: object[] }> {
  let tasks: object[] = [];
  let size = 0;
  let left = MOST_TASKS;
  for (const job of jobs) {
    for (let index = 0; index < job.spec.count && left > 0; index++) {
      const view = viewTask(job, index, framework);
      if (!all && view.finished !== null) continue;
      const [{ length }] = [JSON.stringify(view)];
      if (size + length > LIMITS.partBytes - 1_024) {
        yield { tasks };
        tasks = [];
        size = 0;
      }
      tasks.push(view);
      size += length;
      left--;
    }
  }
  yield { tasks };
}

function isBatchOp(op: string): op is BatchOp {
  return Object.hasOwn(BATCH_OPERATIONS, op);
}
