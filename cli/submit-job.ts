import { Fault, type FaultCode } from '../protocol/faults.ts';
import type { JobSpec } from '../protocol/job.ts';
import type { Client } from '../sdk/index.ts';
import { BATCH } from './ask.ts';

/** Letters and digits of a job's id, minted here: 8 of base32 are 2^40, enough for ten thousand live jobs. */
export const JOB_ID_LENGTH = 8;

/** Nothing was answered: whether it was taken is not known. */
const UNANSWERED: ReadonlySet<FaultCode> = new Set(['NO_LEADER', 'TIMED_OUT', 'UNREACHABLE']);

/**
 * Hands the job to the batch framework; its id is the request's too, so that repeating it is safe. A fault that leaves
 * open whether it was taken names the job: who only runs the command again has it done twice.
 */
export async function submitJob(client: Client, spec: JobSpec, timeoutMs: number): Promise<{ job: string } | Fault> {
  const answer = await client.request('submit', spec, { framework: BATCH, request: spec.job, timeoutMs });
  if (!(answer instanceof Fault) || !UNANSWERED.has(answer.code)) return answer;
  return new Fault(
    answer.code,
    `${answer.message.replace(/\.$/, '')}; whether job ${spec.job} was taken is not known`,
    `Ask for it before you run it again: mesq job ${spec.job}`,
  );
}
