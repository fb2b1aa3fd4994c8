import { Fault } from '../protocol/faults.ts';

/** From the least to the most that is worth a person's look. */
export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** Of `--log`. Fault BAD_USAGE where there is no such level. */
export function logLevelOf(written: string): (typeof LEVELS)[number] | Fault {
  const level = LEVELS.find((each) => each === written);
  return level ?? new Fault('BAD_USAGE', `--log: there is no level ${written}`, `Take one of ${LEVELS.join(', ')}.`);
}
