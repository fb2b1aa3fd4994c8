import { isTerminal } from '../../protocol/task.ts';
import { hasEnded, type Run } from '../checkpoint/state.ts';
import type { OwnDevice } from '../devices/choose-devices.ts';
import { environmentOf } from './command.ts';

/** Of the agent. */
export interface Place {
  readonly agent: string;
  readonly agentName: string;
  readonly pathOf: (folder: string) => string;
  readonly volumesRoot: string;
  readonly devices: () => readonly OwnDevice[];
}

/** Where, and with what environment, a program beside a run starts; undefined where the run does not run (yet, or any more). */
export function besideRun(
  run: Run,
  folder: string,
  { agent, agentName, pathOf, volumesRoot, devices }: Place,
): { readonly folder: string; readonly environment: Readonly<Record<string, string>> } | undefined {
  const { latest } = run;
  if (hasEnded(run) || latest === undefined || latest.restart !== run.restart || isTerminal(latest.state))
    return undefined;
  if (latest.state !== 'TASK_RUNNING' && latest.state !== 'TASK_KILLING') return undefined;
  const sandbox = `${pathOf(folder)}/work`;
  return {
    folder,
    environment: environmentOf(run, { agent, agentName, sandbox, volumes: volumesRoot, devices: devices() }),
  };
}
