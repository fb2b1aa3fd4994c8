import { Fault } from '../protocol/faults.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';

/** Resources as a test writes them; a typing error is the test's own failure. */
export function resourcesOf(text: string): Resources {
  const parsed = parseResources(text);
  if (parsed instanceof Fault) throw new Error(parsed.message);
  return parsed;
}
