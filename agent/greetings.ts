import type { AGENT_UP, Identity } from '../protocol/agent-link.ts';
import { cut, type Outgoing, PROTOCOL } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import { reportedDigest } from '../protocol/reported-digest.ts';
import type { DurableState } from './durable-state.ts';
import { knownDigest, knownTasks } from './known-tasks.ts';
import type { Cluster } from './membership.ts';
import type { PresenceNotes } from './presence.ts';
import type { Reported } from './reporting/significance.ts';

/** Entries in one part of a list of tasks. */
const PART_TASKS = 500;

interface Greeter {
  readonly agent: string;
  readonly name: string;
  readonly identity: Identity;
  readonly presence: PresenceNotes;
  readonly hostname: string;
  readonly boot: string;
  readonly metered: boolean;
  readonly durable: DurableState;
}

type Up = Outgoing<typeof AGENT_UP>;

/** REGISTER, in as many parts as the list of its tasks needs. */
export function registration(
  { agent, name, identity, presence, hostname, boot, metered, durable }: Greeter,
  reported: Reported,
  cluster: Cluster | undefined,
  counter: number,
): Up[] {
  const parts = cut(knownTasks(durable.state.runs.values()), LIMITS.partBytes / 2, PART_TASKS);
  return parts.map((tasks, part) => ({
    type: 'REGISTER',
    agent,
    name,
    identity,
    incarnation: presence.incarnation,
    hostname,
    boot,
    metered,
    counter,
    versions: { min: PROTOCOL.min, max: PROTOCOL.max, features: [] },
    ...reported,
    ...(cluster === undefined ? {} : { cluster }),
    tasks,
    part,
    last: part === parts.length - 1,
  }));
}

/** How a RESUME is said. */
export interface ResumptionStyle {
  /** To a leadership that knows this process: digests alone. */
  readonly brief: boolean;
  /** In one breath with CONNECT: it stands for its presence, too. */
  readonly opening: boolean;
  readonly keepAliveMs: number | undefined;
}

/** RESUME of the session that it has. */
export function resumption(
  { agent, identity, presence, boot, durable }: Greeter,
  reported: Reported,
  cluster: Cluster,
  { brief, opening, keepAliveMs }: ResumptionStyle,
): Up {
  return {
    type: 'RESUME',
    agent,
    epoch: durable.state.epoch,
    incarnation: presence.incarnation,
    ...(opening ? { session: presence.session } : {}),
    cluster,
    ...(brief
      ? { reported: reportedDigest(reported.resources, reported.attributes) }
      : { identity, boot, ...reported }),
    digest: knownDigest(durable.state.runs.values()),
    ...(keepAliveMs === undefined ? {} : { keepAliveMs }),
  };
}

/** TASKS, the answer to RECONCILE. */
export function taskList({ durable }: Pick<Greeter, 'durable'>, request: string): Up[] {
  const parts = cut(knownTasks(durable.state.runs.values()), LIMITS.partBytes, PART_TASKS);
  const { epoch } = durable.state;
  return parts.map((tasks, part) => ({
    type: 'TASKS',
    epoch,
    request,
    tasks,
    part,
    last: part === parts.length - 1,
  }));
}
