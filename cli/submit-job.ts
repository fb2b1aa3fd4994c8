import type { Fault } from '../protocol/faults.ts';
import type { JobSpec } from '../protocol/job.ts';
import type { Client } from '../sdk/index.ts';
import { BATCH } from './ask.ts';

/** Letters and digits of a job's id, minted here: 8 of base32 are 2^40, enough for ten thousand live jobs. */
export const JOB_ID_LENGTH = 8;

/** Hands the job to the batch framework; its id is the request's too, so that repeating it is safe. */
export function submitJob(client: Client, spec: JobSpec, timeoutMs: number): Promise<{ job: string } | Fault> {
  return client.request('submit', spec, { framework: BATCH, request: spec.job, timeoutMs });
}
