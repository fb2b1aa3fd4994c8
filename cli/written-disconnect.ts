import { parseDuration } from '../protocol/duration.ts';
import { Fault } from '../protocol/faults.ts';
import { type Disconnect, RECONCILE_POLICIES } from '../protocol/task.ts';

/** Nomad's names in a job file, and the schema's. */
const TIMES = { lost_after: 'lostAfterMs', stop_on_client_after: 'stopOnClientAfterMs' } as const;

/**
 * What becomes of tasks out of reach, as people write it: `lost_after` and `stop_on_client_after` are durations,
 * `replace` is true or false, `reconcile` one of {@link RECONCILE_POLICIES}. Faults: BAD_JOB.
 */
export function disconnectOf(written: Readonly<Record<string, unknown>>): Disconnect | Fault {
  const made: { -readonly [Field in keyof Disconnect]: Disconnect[Field] } = {};
  for (const [name, field] of Object.entries(TIMES)) {
    const text = written[name];
    if (text === undefined) continue;
    const ms = parseDuration(String(text));
    if (ms instanceof Fault) return bad(`${name}: ${ms.message}`, ms.hint);
    made[field] = ms;
  }
  const { replace, reconcile } = written;
  if (replace !== undefined) {
    if (typeof replace !== 'boolean') return bad('replace: it is true or false');
    made.replace = replace;
  }
  if (reconcile === undefined) return made;
  const policy = RECONCILE_POLICIES.find((one) => one === reconcile);
  if (policy === undefined)
    return bad(
      `reconcile: there is no ${JSON.stringify(reconcile)}`,
      `Take one of ${RECONCILE_POLICIES.join(', ')}; places are not rated here, so there is no best_score.`,
    );
  if (replace !== true) return bad('reconcile: it chooses between a task and its replacement', 'Add replace: true.');
  return { ...made, reconcile: policy };
}

function bad(message: string, hint?: string): Fault {
  return new Fault('BAD_JOB', `disconnect: ${message}`, hint);
}
