import { type Holdings, withHoldings } from '../../protocol/holdings.ts';
import type { Resources } from '../../protocol/resources.ts';
import type { AgentRecord } from './registry.ts';

type Held = Pick<AgentRecord, 'resources' | 'reported' | 'reservations' | 'volumes' | 'doomed'>;

/** What an agent reports, and what has been made of it: the fields of its record that say so. */
export function held(known: Pick<AgentRecord, 'reservations' | 'volumes' | 'doomed'>, reported: Resources): Held {
  const { reservations = [], volumes = [], doomed = [] } = known;
  const kept = doomed.length === 0 ? {} : { doomed };
  if (reservations.length === 0 && volumes.length === 0)
    return { resources: reported, reported: undefined, ...none, ...kept };
  return { resources: withHoldings(reported, { reservations, volumes }), reported, reservations, volumes, ...kept };
}

const none = { reservations: undefined, volumes: undefined };

/** The record with other holdings. */
export function withOther(agent: AgentRecord, holdings: Holdings): AgentRecord {
  return { ...agent, ...held({ ...agent, ...holdings }, agent.reported ?? agent.resources) };
}
