/** The most of a URI that is shown to people. */
const SHOWN_LENGTH = 160;

/**
 * A URI as people may see it, in messages and logs: without user and password, and without the query, in which signatures
 * are. Cut at 160 characters.
 */
export function shownUri(uri: string): string {
  const plain = uri.replace(/^([a-z]+:\/\/)[^/?#]*@/, '$1').replace(/[?#].*$/, '?…');
  return plain.length > SHOWN_LENGTH ? `${plain.slice(0, SHOWN_LENGTH - 1)}…` : plain;
}
