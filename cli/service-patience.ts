import { FAULTS, Fault, type FaultCode } from '../protocol/faults.ts';
import type { Terminal } from './terminal.ts';

/** `yes` in the environment of an installed agent (service-unit.ts). */
export const SERVICE_VARIABLE = 'MESQ_SERVICE';

/** The unit says so itself: systemd's own variables also reach shells that a desktop has started. */
export function isService(environment: Terminal['environment']): boolean {
  return environment[SERVICE_VARIABLE] === 'yes';
}

/** What the next start would meet as well, until a person here or at the masters has done something. */
const REFUSALS: ReadonlySet<FaultCode> = new Set([
  'BAD_CREDENTIALS',
  'CLONED',
  'EXISTS',
  'NAME_TAKEN',
  'NOT_ALLOWED',
  'OTHER_CLUSTER',
]);
/** Each start costs kilobytes on what may be a metered link. */
export const REFUSED_MS = 300_000;
/** A GPU that comes up late, a folder that is not mounted yet: a start costs this machine alone, half a second of it. */
const LACKING_MS = 30_000;

/**
 * What an agent ends with, which is stopped by now. A person's command: with its fault, at once. A service manager starts
 * it again seconds later, for ever: so a service that a master refused waits five minutes first, and one whose command line
 * does not fit the machine half a minute, and does not end as wrong usage (exit code 2), which would be for good: what is
 * lacking may only be late. 0: it was told to stop meanwhile.
 */
export async function serviceEnd(
  { clock, environment }: Pick<Terminal, 'clock' | 'environment'>,
  fault: Fault,
  stopped: Promise<undefined>,
  say: (text: string) => void,
): Promise<Fault | 0> {
  if (!isService(environment)) return fault;
  const isUsage = FAULTS[fault.code].exit === FAULTS.BAD_USAGE.exit;
  const pauseMs = REFUSALS.has(fault.code) ? REFUSED_MS : isUsage ? LACKING_MS : 0;
  if (pauseMs === 0) return fault;
  say(`${fault.message}: this service waits ${pauseMs / 1_000} s before it ends`);
  const isTold = await new Promise<boolean>((resolve) => {
    const timer = clock.after(pauseMs, () => resolve(false));
    void stopped.then(() => {
      timer.cancel();
      resolve(true);
    });
  });
  if (isTold) return 0;
  return isUsage ? new Fault('UNSUPPORTED', fault.message, fault.hint) : fault;
}
