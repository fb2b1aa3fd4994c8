/** The longest that a report waits for company, and how many runs there are for each millisecond that an end waits. */
const GATHER_MS = 20;
const RUNS_PER_MS = 8;
/** The same while starts queue at the launcher, which takes more than a millisecond for each. */
const QUEUED_MS = 200;

/**
 * How long a report may wait for others, to be written and sent with them, in milliseconds. `runs` have not ended;
 * `unbegun` of them wait for the launcher.
 *
 * A beginning that is told with the end of a short task costs nothing of its own. An end goes out at once, unless so many
 * run that one more or less hardly matters: then a machine that is busy with them is not kept busy with telling. Where
 * starts wait for the launcher anyway, what an end frees would only wait behind them.
 */
export function reportPatience(ended: boolean, runs: number, unbegun: number): number {
  const queued = Math.min(QUEUED_MS, unbegun);
  return Math.max(queued, ended ? Math.min(GATHER_MS, Math.floor(runs / RUNS_PER_MS)) : GATHER_MS);
}
