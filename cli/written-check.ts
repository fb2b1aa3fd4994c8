import { parseDuration } from '../protocol/duration.ts';
import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { HealthCheck } from '../protocol/task-checks.ts';

/** A job file's name of each time, and the schema's. */
const TIMES = { delay: 'delayMs', interval: 'intervalMs', timeout: 'timeoutMs', grace: 'gracePeriodMs' } as const;

/**
 * A health check as people write it: `command` a line for sh -c or a list, `http` and `tcp` where to ask, times as
 * durations, `failures` in a row. A port alone may stand for `http` and `tcp`. Faults: BAD_JOB.
 */
export function healthCheckOf(written: Readonly<Record<string, unknown>>): HealthCheck | Fault {
  const { command, http, tcp, failures } = written;
  const fields: Record<string, unknown> = {};
  if (command !== undefined)
    fields['command'] = { argv: typeof command === 'string' ? ['sh', '-c', command] : command };
  if (http !== undefined) fields['http'] = whereOf(http);
  if (tcp !== undefined) fields['tcp'] = whereOf(tcp);
  if (failures !== undefined) fields['consecutiveFailures'] = failures;
  for (const [name, field] of Object.entries(TIMES)) {
    const text = written[name];
    if (text === undefined) continue;
    const ms = parseDuration(String(text));
    if (ms instanceof Fault) return bad(`${name}: ${ms.message}`, ms.hint);
    fields[field] = ms;
  }
  const made = check(HealthCheck, fields);
  return made instanceof Fault ? bad(asWritten(made.message)) : made;
}

/** The schema's words, with the job file's name of the field. */
function asWritten(message: string): string {
  const [name = ''] = /^\w+/.exec(message) ?? [];
  const time = Object.entries(TIMES).find(([, field]) => field === name)?.[0];
  const file = name === 'consecutiveFailures' ? 'failures' : time;
  return file === undefined ? message.replace(/^command\.argv/, 'command') : `${file}${message.slice(name.length)}`;
}

function whereOf(written: unknown): unknown {
  return typeof written === 'number' ? { port: written } : (written ?? {});
}

function bad(message: string, hint?: string): Fault {
  return new Fault('BAD_JOB', `healthCheck: ${message}`, hint);
}
