import type { RegistryEvent } from './events.ts';
import type { Registry } from './registry.ts';

/** Names of which a credential was taken back: whoever is connected with it, to any master, is sent away. */
export function revokedNames(events: readonly RegistryEvent[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const event of events) {
    if (event.kind === 'TOKENS_REVOKED') for (const name of event.names) names.add(name);
    else if (event.kind === 'AGENT_JOINED') for (const name of event.revoked) names.add(name);
  }
  return names;
}

/** The same where a snapshot has taken the place of the registry, and what happened between the two is not told. */
export function revokedBetween(before: Pick<Registry, 'tokens'>, after: Pick<Registry, 'tokens'>): ReadonlySet<string> {
  const gone = [...before.tokens.values()].filter(({ token }) => !after.tokens.has(token));
  return new Set(gone.map(({ name }) => name));
}
