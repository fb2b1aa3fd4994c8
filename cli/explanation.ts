import type { InferOutput } from 'valibot';
import { Fault } from '../protocol/faults.ts';
import { constraintsOf, type JobSpec } from '../protocol/job.ts';
import type { AgentVerdict, OPERATIONS } from '../protocol/operator.ts';
import type { Client } from '../sdk/index.ts';

export type Explanation = InferOutput<(typeof OPERATIONS)['explain']['part']>;

const MOST_AGENTS = 5;

/** Asks the leader where a task of the job would fit now, and what is missing elsewhere. `owner`: whose shares and quota count. */
export function explain(
  client: Client,
  spec: JobSpec,
  owner: string | undefined,
  timeoutMs: number,
): Promise<Explanation | Fault> {
  const { resources, ports } = spec;
  const constraints = constraintsOf(spec);
  const role = owner === undefined ? {} : { role: owner };
  return client.request('explain', { resources, ports, constraints, ...role }, { timeoutMs });
}

/** Why a task waits, in one line. */
export function whyWaiting({ verdict, reasons, agents }: Explanation): string {
  if (agents.length === 0) return 'waiting: no agent has joined yet';
  if (reasons.length > 0) return `waiting: ${reasons.join('; ')}`;
  if (verdict === 'now') return 'waiting: it fits, and is about to be placed';
  const shown = agents.slice(0, MOST_AGENTS).map(whyNot).join('; ');
  const more = agents.length > MOST_AGENTS ? `; and ${agents.length - MOST_AGENTS} more agents` : '';
  return `waiting: ${shown}${more}`;
}

/** The fault of a job that no agent could ever hold; undefined where waiting may help. */
export function neverFits({ verdict, agents }: Explanation): Fault | undefined {
  if (verdict !== 'never' || agents.length === 0) return undefined;
  const reasons = agents.slice(0, MOST_AGENTS).map(whyNot);
  const more = agents.length > MOST_AGENTS ? [`and ${agents.length - MOST_AGENTS} more agents`] : [];
  return new Fault('NEVER_FITS', ['no agent could ever hold it', ...reasons, ...more].join('\n'));
}

function whyNot({ agent, state, fits, missing }: AgentVerdict): string {
  if (missing.length > 0) return `${agent}: ${missing.join(', ')}`;
  return `${agent}: ${fits && state === 'active' ? 'it fits here' : state}`;
}
