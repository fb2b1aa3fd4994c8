import { drainWish } from '../../protocol/drain-wish.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import type { AgentRecord, Registry } from './registry.ts';

/**
 * Begins a drain that an agent's health asks for, or ends that one. An operator's word is above it: their drain is left as
 * it is, and a wish that they have overruled is not heeded before it has ended once.
 */
export function applyHeedHealth(
  registry: Registry,
  { agent: id, wish, deadlineMs }: Extract<Command, { kind: 'HEED_HEALTH' }>,
): RegistryEvent[] {
  const known = registry.agents.get(id);
  if (known === undefined || known.state === 'gone') return [];
  // Late: it wishes otherwise since, and the leader proposes what is right now.
  if ((wish === undefined) !== (drainWish(known.attributes) === undefined)) return [];
  if (wish === undefined) {
    const ends = known.drain?.wish !== undefined;
    if (!ends && known.overruled === undefined) return [];
    const agent: AgentRecord = { ...known, overruled: undefined, ...(ends ? { drain: undefined } : {}) };
    registry.agents.set(id, agent);
    return ends ? [{ kind: 'AGENT_RESUMED', agent }] : [];
  }
  if (known.drain !== undefined || known.overruled !== undefined) return [];
  const agent: AgentRecord = { ...known, drain: { deadlineMs, wish } };
  registry.agents.set(id, agent);
  return [{ kind: 'AGENT_DRAINING', agent }];
}
