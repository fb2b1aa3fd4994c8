import type { LeaderDocument } from './topics.ts';

/** The newest document that was heard on this connection. */
export interface Leadership {
  readonly generation: number;
  readonly term: number;
  readonly leader: string | null;
}

export type LeaderChoice =
  /** Older than what was heard, or nothing new. */
  | { readonly kind: 'ignore' }
  /** None is known: wait, connected. */
  | { readonly kind: 'wait' }
  /** Resume or register here. */
  | { readonly kind: 'greet' }
  | { readonly kind: 'move'; readonly url: string };

/**
 * What a `mesq/leader` document asks of a peer connected to `connectedTo`: lower terms are ignored; it moves only to a
 * URL of its own scheme, never from TLS to plain, and only to hosts it was configured with (docs/protocol.md, Finding the leader).
 */
export function chooseLeader(
  known: Leadership | undefined,
  document: LeaderDocument,
  connectedTo: string,
  configured: readonly string[],
): LeaderChoice {
  const { generation, term, leader, urls, here } = document;
  if (known !== undefined) {
    if (generation < known.generation || (generation === known.generation && term < known.term))
      return { kind: 'ignore' };
    if (generation === known.generation && term === known.term && leader === known.leader) return { kind: 'ignore' };
  }
  if (leader === null) return { kind: 'wait' };
  // Through a tunnel, a leader is reached where it does not say it is.
  if (here || urls.some((url) => authorityOf(url) === authorityOf(connectedTo))) return { kind: 'greet' };
  const target = urls.find(
    (url) => schemeOf(url) === schemeOf(connectedTo) && configured.some((mine) => hostOf(mine) === hostOf(url)),
  );
  // A master may be reached under a name that it does not advertise: then the broker itself is taken at its word.
  return target === undefined ? { kind: 'greet' } : { kind: 'move', url: target };
}

function schemeOf(url: string): string {
  return url.slice(0, url.indexOf(':')).toLowerCase();
}

/** Host and port, without user and path. */
function authorityOf(url: string): string {
  return url
    .replace(/^[A-Za-z]+:\/\//, '')
    .replace(/\/.*$/, '')
    .replace(/^.*@/, '')
    .toLowerCase();
}

function hostOf(url: string): string {
  return authorityOf(url).replace(/:\d+$/, '');
}
