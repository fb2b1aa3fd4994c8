import type * as v from 'valibot';
import { AGENT_UP } from './agent-link.ts';
import { check, decode, type Encoding } from './envelope.ts';
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { TaskStatus } from './task.ts';

/**
 * A report that any peer takes: without those of its details that are not as they must be. That a task has ended is not to
 * be lost, nor told again for ever, because a number beside it was too large. A fault where what is left is no report.
 */
export function soundStatus(status: unknown): TaskStatus | Fault {
  const whole = check(TaskStatus, status);
  if (!(whole instanceof Fault) || typeof status !== 'object' || status === null) return whole;
  const fields = Object.entries(status).filter(([name, value]) => {
    const field = Object.hasOwn(TaskStatus.entries, name)
      ? TaskStatus.entries[name as keyof typeof TaskStatus.entries]
      : undefined;
    return field !== undefined && !(check(field, value) instanceof Fault);
  });
  return check(TaskStatus, Object.fromEntries(fields));
}

/**
 * Of an UPDATE that cannot be read, the reports that can: a bad one spoils only itself. Undefined where there is no UPDATE,
 * its other fields are wrong, or none is left.
 */
export function salvageUpdate(
  payload: Uint8Array,
): { readonly encoding: Encoding; readonly update: v.InferOutput<typeof AGENT_UP.UPDATE> } | undefined {
  const decoded = decode(payload);
  if (decoded instanceof Fault) return undefined;
  const { encoding, value } = decoded;
  if (typeof value !== 'object' || value === null || !('updates' in value)) return undefined;
  const { updates } = value;
  if (!Array.isArray(updates) || updates.length > LIMITS.tasksPerMessage) return undefined;
  const bare = check(AGENT_UP.UPDATE, { ...value, updates: [] });
  if (bare instanceof Fault) return undefined;
  const sound = updates.flatMap((update) => {
    const status = soundStatus(update);
    return status instanceof Fault ? [] : [status];
  });
  return sound.length === 0 ? undefined : { encoding, update: { ...bare, updates: sound } };
}
