import type { InferInput, InferOutput } from 'valibot';
import { Fault } from '../protocol/faults.ts';
import type { BATCH_OPERATIONS } from '../protocol/job.ts';
import type { OPERATIONS } from '../protocol/operator.ts';
import type { Context } from './verb.ts';

/** The framework that runs jobs. */
export const BATCH = 'batch';

type LeaderOps = typeof OPERATIONS;
type BatchOps = typeof BATCH_OPERATIONS;

/** Connects, and asks the leader one thing. */
export async function askLeader<Op extends keyof LeaderOps>(
  context: Context,
  op: Op,
  body: InferInput<LeaderOps[Op]['body']>,
): Promise<InferOutput<LeaderOps[Op]['part']> | Fault> {
  const connection = await context.connect();
  if (connection instanceof Fault) return connection;
  return connection.client.request(op, body as never, { timeoutMs: context.answerMs() });
}

/** Connects, and asks the batch framework one thing. */
export async function askBatch<Op extends keyof BatchOps>(
  context: Context,
  op: Op,
  body: InferInput<BatchOps[Op]['body']>,
): Promise<InferOutput<BatchOps[Op]['part']> | Fault> {
  const connection = await context.connect();
  if (connection instanceof Fault) return connection;
  return connection.client.request(op, body as never, { framework: BATCH, timeoutMs: context.answerMs() });
}
