import { LIMITS } from '../../protocol/limits.ts';
import type { Registry, RequestOutcome } from './registry.ts';

/** Keeps the outcome of a request with its effect, so that repeating it is answered, not done again. */
export function remember(registry: Registry, outcome: RequestOutcome): void {
  registry.requests.set(outcome.request, outcome);
  for (const oldest of registry.requests.keys()) {
    if (registry.requests.size <= LIMITS.requests) break;
    registry.requests.delete(oldest);
  }
}
