import type { JobSpec } from '../../protocol/job.ts';

/** What of the attempts of one task goes on. `both`: for now. */
export type Keeps = 'original' | 'replacement' | 'both';

/** Of the replacement, when the original is back in reach. */
export type ReplacementIs = 'waiting' | 'starting' | 'running';

/**
 * Which attempt of a task with `disconnect.replace` goes on once the original is in reach again (Nomad:
 * disconnect.reconcile). Without a policy both do, and the first to end wins; a service never ends, so of its attempts
 * the longest running is kept. A replacement that has no place yet is not needed any more, whatever the policy, but that
 * the original shall go.
 *
 * @param restarted the original was started anew while it was away
 */
export function keepsOf(
  { disconnect, restart }: Pick<JobSpec, 'disconnect' | 'restart'>,
  replacement: ReplacementIs,
  restarted: boolean,
): Keeps {
  switch (disconnect?.reconcile ?? (restart === 'always' ? 'longest_running' : undefined)) {
    case undefined:
      return replacement === 'waiting' ? 'original' : 'both';
    case 'keep_original':
      return 'original';
    case 'keep_replacement':
      return replacement === 'running' ? 'replacement' : 'both';
    case 'longest_running':
      return restarted && replacement === 'running' ? 'replacement' : 'original';
  }
}
