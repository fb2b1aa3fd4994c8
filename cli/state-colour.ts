import type { Colour } from './table.ts';

const COLOUR_OF: Readonly<Record<string, Colour>> = {
  active: 'green',
  running: 'green',
  leader: 'green',
  TASK_RUNNING: 'green',
  failed: 'red',
  gone: 'red',
  TASK_FAILED: 'red',
  TASK_ERROR: 'red',
  TASK_LOST: 'red',
  TASK_GONE: 'red',
  TASK_DROPPED: 'red',
  TASK_GONE_BY_OPERATOR: 'red',
  unreachable: 'yellow',
  disconnected: 'yellow',
  draining: 'yellow',
  drained: 'yellow',
  pending: 'yellow',
  TASK_STAGING: 'yellow',
  TASK_STARTING: 'yellow',
  TASK_KILLING: 'yellow',
  TASK_UNREACHABLE: 'yellow',
};

/** Green for what goes well, yellow for what waits, red for what went wrong; the rest is plain. */
export function stateColour(state: string): Colour | undefined {
  return COLOUR_OF[state];
}
