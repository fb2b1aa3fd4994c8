import { Fault } from '../protocol/faults.ts';
import type { AgentView } from '../protocol/operator.ts';
import { askLeader } from './ask.ts';
import { ago, isoTime, printRows } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Column } from './table.ts';
import type { Verb } from './verb.ts';

/** `mesq agents`: the machines of the cluster, what they have, and what of it is in use. */
export const agents: Verb = {
  examples: ['mesq agents', 'mesq agents --json'],
  configure: () => {},
  run: async (context) => {
    const answer = await askLeader(context, 'agents', {});
    if (answer instanceof Fault) return answer;
    const now = context.terminal.clock.wall();
    await printRows(context, answer.agents, {
      none: 'No agent has joined. Start one: mesq agent --master URL --data DIR',
      json: ({ drain, window, ...agent }) => ({
        ...agent,
        lastSeen: isoTime(agent.lastSeen),
        ...(window === undefined ? {} : { window: { start: isoTime(window.start), end: isoTime(window.end) } }),
        ...(drain === undefined ? {} : { drain: { ...drain, deadline: isoTime(drain.deadline) } }),
      }),
      columns: agentColumns(answer.agents, now),
    });
    return 0;
  },
};

/** When machines are to be away is a column where it is known of any. */
export function agentColumns(agents: readonly AgentView[], now: number): Column<AgentView>[] {
  const away: Column<AgentView> = { title: 'WINDOW', value: ({ window }) => (window ? windowOf(window, now) : '-') };
  return [
    { title: 'NAME', whole: true, value: ({ name }) => name },
    { title: 'STATE', whole: true, value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
    { title: 'TASKS', spare: 1, value: ({ tasks }) => tasks, align: 'right' },
    { title: 'SEEN', spare: 3, value: ({ lastSeen }) => ago(lastSeen, now), align: 'right' },
    ...(agents.some(({ window }) => window !== undefined) ? [away] : []),
    { title: 'RESOURCES', value: ({ resources }) => resources.total },
    { title: 'ALLOCATED', spare: 2, value: ({ resources }) => resources.allocated || '-' },
    { title: 'ATTRIBUTES', spare: 4, value: attributesOf },
  ];
}

/** `in 2h for 30m`, `for 12m more`, or without an end `in 2h` and `now`. */
function windowOf({ start, end }: NonNullable<AgentView['window']>, now: number): string {
  if (start > now) return `in ${ago(now, start)}${end === null ? '' : ` for ${ago(start, end)}`}`;
  return end === null ? 'now' : `for ${ago(now, end)} more`;
}

function attributesOf({ attributes }: AgentView): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name}:${value}`)
    .join(';');
}
