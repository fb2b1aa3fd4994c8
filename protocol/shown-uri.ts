import { blobOf, blobUri } from './blob.ts';

/** The most of a URI that is shown to people. */
const SHOWN_LENGTH = 160;

/** Of an upload's name: enough to tell two apart, and not to run a job with it. */
const SHOWN_NAME = 12;

/** An upload's name as people may see it: whoever has all of it may read what was uploaded. */
export function shownBlob(blob: string): string {
  return `${blob.slice(0, SHOWN_NAME)}…`;
}

/**
 * A URI as people may see it, in messages and logs: without user and password, and without the query, in which signatures
 * are; of an upload's name only the beginning. Cut at 160 characters.
 */
export function shownUri(uri: string): string {
  const blob = blobOf(uri);
  if (blob !== undefined) return blobUri(shownBlob(blob));
  const plain = uri.replace(/^([a-z]+:\/\/)[^/?#]*@/, '$1').replace(/[?#].*$/, '?…');
  return plain.length > SHOWN_LENGTH ? `${plain.slice(0, SHOWN_LENGTH - 1)}…` : plain;
}
