import * as v from 'valibot';
import { AGENT_DOWN, AGENT_UP, BULK, PRESENCE } from './agent-link.ts';
import { AGENT_BLOCKS, CLIENT_BULK, MASTER_BLOCKS, UPLOADS } from './blob-link.ts';
import type { MessageTable } from './envelope.ts';
import { REPLIES, REQUESTS } from './operator.ts';
import { CALLS, EVENTS } from './scheduler.ts';

/** Who may publish or subscribe: a credential's role, `local` (anonymous on a loopback listener), another master of the cluster (`peer`), or the master itself. */
export type TopicRole = 'agent' | 'framework' | 'user' | 'operator' | 'viewer' | 'join' | 'local' | 'peer' | 'master';

interface TopicEntry {
  /** Below the prefix. `{name}` is the speaker's own name, `{session}` any one level, `#` the rest. */
  readonly pattern: string;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly publish: readonly TopicRole[];
  readonly subscribe: readonly TopicRole[];
  /** What travels on it: CBOR (or JSON) messages of a table, or JSON for people. */
  readonly carries: MessageTable | 'json' | 'raft';
  readonly means: string;
}

const READERS = ['user', 'operator', 'viewer', 'local', 'framework'] as const;
const EVERYONE = ['agent', 'join', ...READERS] as const;
/** Who may ask: what, the leader decides by the role. */
const CLIENTS = ['user', 'operator', 'viewer', 'join', 'local'] as const;

/** Every address of the system; docs/topics.md lists exactly these. */
export const TOPICS = {
  leader: {
    pattern: 'leader',
    qos: 1,
    retain: true,
    publish: ['master'],
    subscribe: EVERYONE,
    carries: 'json',
    means: 'who leads',
  },
  news: {
    pattern: 'news',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: ['agent', 'local'],
    carries: 'json',
    means: 'who leads, when that changes: the same document, for agents that knew who did',
  },
  raft: {
    pattern: 'masters/{session}/raft/{name}',
    qos: 0,
    retain: false,
    publish: ['peer'],
    subscribe: ['master'],
    carries: 'raft',
    means: 'Raft messages between masters',
  },
  blocks: {
    pattern: 'masters/{session}/blocks/{name}',
    qos: 1,
    retain: false,
    publish: ['peer'],
    subscribe: ['master'],
    carries: MASTER_BLOCKS,
    means: 'uploaded files between masters',
  },
  up: {
    pattern: 'agents/{name}/up',
    qos: 1,
    retain: false,
    publish: ['agent', 'local'],
    subscribe: ['master'],
    carries: AGENT_UP,
    means: 'agent to master',
  },
  down: {
    pattern: 'agents/{name}/down',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: ['agent', 'local'],
    carries: AGENT_DOWN,
    means: 'master to agent',
  },
  agentBulk: {
    pattern: 'agents/{name}/bulk',
    qos: 1,
    retain: false,
    publish: ['agent', 'local'],
    subscribe: ['master'],
    carries: BULK,
    means: 'output of tasks, on its way to a reader',
  },
  agentBlocks: {
    pattern: 'agents/{name}/blocks',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: ['agent', 'local'],
    carries: AGENT_BLOCKS,
    means: 'uploaded files, at the agent of a task that needs them',
  },
  presence: {
    pattern: 'agents/{name}/presence',
    qos: 1,
    retain: false,
    publish: ['agent', 'local'],
    subscribe: ['master'],
    carries: PRESENCE,
    means: 'the will of an agent, with its incarnation',
  },
  call: {
    pattern: 'frameworks/{name}/call',
    qos: 1,
    retain: false,
    publish: ['framework', 'local'],
    subscribe: ['master'],
    carries: CALLS,
    means: 'scheduler to master',
  },
  event: {
    pattern: 'frameworks/{name}/event',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: ['framework', 'local'],
    carries: EVENTS,
    means: 'master to scheduler',
  },
  offers: {
    pattern: 'frameworks/{name}/offers',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: ['framework', 'local'],
    carries: EVENTS,
    means: 'its offers, and what becomes of them',
  },
  request: {
    pattern: 'clients/{name}/{session}/request',
    qos: 1,
    retain: false,
    publish: CLIENTS,
    subscribe: ['master'],
    carries: REQUESTS,
    means: 'the operator API',
  },
  reply: {
    pattern: 'clients/{name}/{session}/reply',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: CLIENTS,
    carries: REPLIES,
    means: 'its answers',
  },
  clientBulk: {
    pattern: 'clients/{name}/{session}/bulk',
    qos: 1,
    retain: false,
    publish: ['master'],
    subscribe: CLIENTS,
    carries: CLIENT_BULK,
    means: 'output of tasks, at its reader; what is stored of an upload',
  },
  upload: {
    pattern: 'clients/{name}/{session}/upload',
    qos: 1,
    retain: false,
    publish: ['user', 'operator', 'local'],
    subscribe: ['master'],
    carries: UPLOADS,
    means: 'files on their way to the masters',
  },
  state: {
    pattern: 'state/#',
    qos: 0,
    retain: true,
    publish: ['master'],
    subscribe: [...READERS, 'peer'],
    carries: 'json',
    means: 'what is so, for people',
  },
  events: {
    pattern: 'events/#',
    qos: 0,
    retain: false,
    publish: ['master'],
    subscribe: READERS,
    carries: 'json',
    means: 'what just happened, for people',
  },
} as const satisfies Record<string, TopicEntry>;

export type TopicName = keyof typeof TOPICS;

/** The address of a thing: `{kind: 'down', name: 'pi-1'}`. `rest` is what follows `state/` or `events/`. */
export interface Address {
  readonly kind: TopicName;
  readonly name?: string;
  readonly session?: string;
  readonly rest?: string;
}

/** The topic of an address: `topicOf('mesq', {kind: 'down', name: 'pi-1'})` is `mesq/agents/pi-1/down`. */
export function topicOf(prefix: string, address: Address): string {
  const path = TOPICS[address.kind].pattern
    .replace('{name}', address.name ?? '+')
    .replace('{session}', address.session ?? '+')
    .replace('#', address.rest ?? '#');
  return `${prefix}/${path}`;
}

/** By levels; taken apart once, for every message asks. */
const PATTERNS = Object.entries(TOPICS).map(([kind, { pattern }]) => [kind as TopicName, pattern.split('/')] as const);

/** The address of a topic, or undefined where it is none of ours: `parseTopic('mesq', 'mesq/leader')` is `{kind: 'leader'}`. */
export function parseTopic(prefix: string, topic: string): Address | undefined {
  if (!topic.startsWith(`${prefix}/`)) return undefined;
  const levels = topic.slice(prefix.length + 1).split('/');
  for (const [kind, pattern] of PATTERNS) {
    const address = match(kind, pattern, levels);
    if (address !== undefined) return address;
  }
  return undefined;
}

function match(kind: TopicName, pattern: readonly string[], levels: readonly string[]): Address | undefined {
  const address: { kind: TopicName; name?: string; session?: string; rest?: string } = { kind };
  for (let at = 0; at < pattern.length; at++) {
    const wanted = pattern[at];
    const level = levels[at];
    if (level === undefined || level === '') return undefined;
    if (wanted === '#') return { ...address, rest: levels.slice(at).join('/') };
    if (wanted === '{name}') address.name = level;
    else if (wanted === '{session}') address.session = level;
    else if (wanted !== level) return undefined;
  }
  return levels.length === pattern.length ? address : undefined;
}

/** The rights of every topic below `prefix`, as the broker's access table takes them; `$SYS/broker` is for readers. */
export function rights(prefix: string): { filter: string; publish: readonly string[]; subscribe: readonly string[] }[] {
  const table: { filter: string; publish: readonly string[]; subscribe: readonly string[] }[] = Object.values(
    TOPICS,
  ).map((entry) => ({
    filter: `${prefix}/${entry.pattern.replace('{session}', '+')}`,
    publish: entry.publish,
    subscribe: entry.subscribe,
  }));
  table.push({ filter: '$SYS/broker/#', publish: ['master'], subscribe: READERS });
  return table;
}

/** What `mesq/leader` says: lower terms are ignored; `leader` null while none is known. */
export const LeaderDocument = v.object({
  v: v.number(),
  cluster: v.optional(v.string()),
  generation: v.optional(v.number(), 0),
  term: v.number(),
  leader: v.nullable(v.string()),
  urls: v.optional(v.array(v.string()), []),
  /** The broker that says so is the leader's own. */
  here: v.optional(v.boolean(), false),
  /** Where no leader is known: how many masters vote, and which of them that master has no connection to. */
  voters: v.optional(v.number()),
  unreachable: v.optional(v.array(v.string()), []),
  /** Over what time to spread reconnects. */
  spreadMs: v.optional(v.number(), 0),
});
export type LeaderDocument = v.InferOutput<typeof LeaderDocument>;
