import type { Attributes } from '../../protocol/attributes.ts';
import { type Constraint, isMeantFor, matches } from '../../protocol/constraints.ts';
import type { AgentVerdict } from '../../protocol/operator.ts';
import { amountOf } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';

/** One agent, as far as placement goes. `free` is what neither tasks nor other offers hold. */
export interface Candidate {
  readonly agent: string;
  readonly state: string;
  readonly hostname: string;
  readonly attributes: Attributes;
  readonly total: Resources;
  readonly free: Resources;
  /** Of the agent, and reserved for other roles than the asker's. */
  readonly reserved?: Resources;
  /** What else keeps the asker from that agent for now. */
  readonly obstacles?: readonly string[];
}

export interface Explanation {
  readonly verdict: 'now' | 'later' | 'never';
  /** What keeps it waiting wherever it might go. */
  readonly reasons: readonly string[];
  readonly agents: AgentVerdict[];
}

/**
 * Why a task waits: for every agent what it is missing. `never` only where there are agents and none could hold it
 * even when empty; with no agent at all, one may still join.
 */
export function explain(
  candidates: readonly Candidate[],
  needs: Resources,
  ports: number,
  constraints: readonly Constraint[],
  reasons: readonly string[] = [],
): Explanation {
  const agents = candidates.map((candidate) => verdictOf(candidate, needs, ports, constraints));
  const verdict = agents.some(({ fits }) => fits)
    ? reasons.length === 0
      ? 'now'
      : 'later'
    : agents.length > 0 && agents.every(({ never }) => never)
      ? 'never'
      : 'later';
  return { verdict, reasons, agents };
}

function verdictOf(
  candidate: Candidate,
  needs: Resources,
  ports: number,
  constraints: readonly Constraint[],
): AgentVerdict {
  const missing: string[] = [];
  const { attributes, hostname, agent } = candidate;
  let never = !isMeantFor(constraints, { attributes, hostname, agent });
  if (never) missing.push(`it only does actions: a task for it names it (--constraint agent==${agent})`);
  for (const constraint of constraints) {
    if (matches(constraint, { attributes, hostname, agent })) continue;
    missing.push(`${constraint.text} does not hold`);
    never = true;
  }
  const wanted: [string, number, string][] = needs.flatMap((need): [string, number, string][] =>
    'scalar' in need ? [[need.name, need.scalar, formatResources([need])]] : [],
  );
  if (ports > 0) wanted.push(['ports', ports * 1000, `ports:${ports}`]);
  for (const [name, amount, words] of wanted) {
    const total = countOf(candidate.total, name);
    const free = countOf(candidate.free, name);
    if (total < amount) {
      const kept = countOf(candidate.reserved ?? [], name);
      const others = kept === 0 ? '' : `, and ${kept / 1000} reserved for others`;
      missing.push(`${words}: it has ${total / 1000} in all${others}`);
      never = true;
    } else if (free < amount) {
      missing.push(`${words}: ${free / 1000} of ${total / 1000} free`);
    }
  }
  missing.push(...(candidate.obstacles ?? []));
  if (candidate.state !== 'active') missing.push(`it is ${candidate.state}`);
  return { agent: candidate.agent, state: candidate.state, fits: missing.length === 0, never, missing };
}

/** How much there is of a name, whatever its role: thousandths for scalars, members times a thousand for the rest. */
function countOf(resources: Resources, name: string): number {
  let amount = 0;
  for (const resource of resources) if (resource.name === name) amount += amountOf(resource);
  return amount;
}
