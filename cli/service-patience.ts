import type { Fault, FaultCode } from '../protocol/faults.ts';
import type { Terminal } from './terminal.ts';

/** What the next start would meet as well, until a person here or at the masters has done something. */
const REFUSALS: ReadonlySet<FaultCode> = new Set([
  'BAD_CREDENTIALS',
  'CLONED',
  'EXISTS',
  'NAME_TAKEN',
  'NOT_ALLOWED',
  'OTHER_CLUSTER',
]);
/** `yes` in the environment of an installed agent (service-unit.ts). */
export const SERVICE_VARIABLE = 'MESQ_SERVICE';
const PAUSE_MS = 300_000;

/**
 * A service manager starts an agent again seconds after its end, for ever, and each start costs kilobytes on what may be a
 * metered link. So a refused service waits five minutes before it ends; a person's command does not. True: told to stop.
 */
export async function serviceWaits(
  terminal: Pick<Terminal, 'clock' | 'environment'>,
  fault: Fault,
  stopped: Promise<undefined>,
  say: (text: string) => void,
): Promise<boolean> {
  if (!isService(terminal) || !REFUSALS.has(fault.code)) return false;
  say(`${fault.message}: this service waits ${PAUSE_MS / 60_000} minutes before it ends`);
  let told = false;
  await new Promise<void>((resolve) => {
    const timer = terminal.clock.after(PAUSE_MS, resolve);
    void stopped.then(() => {
      told = true;
      timer.cancel();
      resolve();
    });
  });
  return told;
}

/** The unit says so itself: systemd's own variables also reach shells that a desktop has started. */
function isService({ environment }: Pick<Terminal, 'environment'>): boolean {
  return environment[SERVICE_VARIABLE] === 'yes';
}
