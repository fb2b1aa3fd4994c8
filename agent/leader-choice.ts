import type { LeaderDocument } from '../protocol/topics.ts';

interface Leadership {
  readonly generation: number;
  readonly term: number;
}

export type LeaderChoice =
  /** Older than what was heard, or nothing new. */
  | { readonly kind: 'ignore' }
  /** None is known: wait, connected. */
  | { readonly kind: 'wait'; readonly leader: undefined }
  | { readonly kind: 'greet'; readonly leader: Leadership }
  | { readonly kind: 'move'; readonly leader: Leadership; readonly url: string; readonly spreadMs: number };

/**
 * What a `mesq/leader` document asks of a peer connected to `connectedTo`: lower terms are ignored; it moves only to a
 * URL of its own scheme, never from TLS to plain, and only to hosts it was configured with (DESIGN §2.3).
 */
export function nextLeader(
  known: Leadership | undefined,
  document: LeaderDocument,
  connectedTo: string,
  configured: readonly string[],
): LeaderChoice {
  const { generation, term, leader, urls, spreadMs } = document;
  if (known !== undefined && (generation < known.generation || (generation === known.generation && term < known.term)))
    return { kind: 'ignore' };
  if (leader === null) return { kind: 'wait', leader: undefined };
  if (known !== undefined && known.generation === generation && known.term === term) return { kind: 'ignore' };
  const here = { generation, term };
  if (urls.length === 0 || urls.some((url) => sameHost(url, connectedTo))) return { kind: 'greet', leader: here };
  const target = urls.find(
    (url) => schemeOf(url) === schemeOf(connectedTo) && configured.some((mine) => sameHost(mine, url)),
  );
  // Its own address in the cluster is another than the one the peer reached it at: it is the broker that says it leads.
  if (target === undefined) return { kind: 'greet', leader: here };
  return { kind: 'move', leader: here, url: target, spreadMs };
}

function schemeOf(url: string): string {
  return url.slice(0, url.indexOf(':'));
}

function sameHost(left: string, right: string): boolean {
  const host = (url: string): string =>
    url
      .replace(/^[a-z]+:\/\//, '')
      .replace(/\/.*$/, '')
      .toLowerCase();
  return host(left) === host(right);
}
