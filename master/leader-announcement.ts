import type { Member } from '../protocol/raft.ts';
import { topicOf } from '../protocol/topics.ts';
import type { World } from './leader.ts';
import { spreadMs } from './liveness/spread.ts';
import type { Registry } from './registry/registry.ts';

interface Leading {
  readonly term: number;
  readonly leader: Member | undefined;
  readonly voters: number;
  /** Of the voters: whose broker this master is not connected to. */
  readonly unreachable: readonly string[];
}

/**
 * Writes the retained `mesq/leader` on the own broker, and the same to `mesq/news` (docs/protocol.md, Finding the leader): who leads `term`, or that
 * nobody is known to. Says nothing before there is a cluster to speak for.
 */
export function announceLeader(
  { bus, prefix, counters, id, urls }: World,
  registry: Registry,
  { term, leader, voters, unreachable }: Leading,
): void {
  if (registry.cluster === undefined) return;
  const { uuid, generation } = registry.cluster;
  const who =
    leader === undefined
      ? { leader: null, urls: [], voters, unreachable }
      : { leader: leader.id, urls: leader.urls, here: leader.id === id };
  const connections = registry.agents.size + registry.frameworks.size;
  const secure = urls.some((url) => url.startsWith('mqtts:'));
  const document = { v: 1, cluster: uuid, generation, term, ...who, spreadMs: spreadMs(connections, secure) };
  const payload = new TextEncoder().encode(JSON.stringify(document));
  for (const kind of ['leader', 'news'] as const) {
    bus
      .publish(topicOf(prefix, { kind }), payload, { qos: 1, retain: kind === 'leader' })
      .catch(() => counters.count('leader not announced'));
  }
}
