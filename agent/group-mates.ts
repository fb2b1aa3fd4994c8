import type { Run } from './checkpoint/state.ts';

/** The other runs of the same LAUNCH_GROUP: a group that is launched again has another attempt. */
export function groupMates(runs: Iterable<Run>, of: Pick<Run, 'run' | 'framework' | 'info'>): Run[] {
  return [...runs].filter(
    ({ run, framework, info }) =>
      run !== of.run && framework === of.framework && info.group === of.info.group && info.attempt === of.info.attempt,
  );
}
