import { LIMITS } from '../../protocol/limits.ts';
import { shortened } from '../../protocol/shortened.ts';
import { shownUri } from '../../protocol/shown-uri.ts';

const MB = 1_048_576;

/** How far one artifact is. */
export interface Progress {
  readonly uri: string;
  readonly bytes: number;
  /** Where the source says it. */
  readonly size: number | undefined;
  /** Why nothing comes just now. */
  readonly trouble?: string | undefined;
}

/** `fetching http://host/file: 12 of 40 MB, 30 %`, of what takes its time; how many others wait, where some do. */
export function progressWords(waited: readonly Progress[]): string | undefined {
  const [first, ...others] = [...waited].sort(byTrouble);
  if (first === undefined) return undefined;
  const { uri, bytes, size, trouble } = first;
  const amount =
    size === undefined || size === 0
      ? `${Math.floor(bytes / MB)} MB`
      : `${Math.floor(bytes / MB)} of ${Math.ceil(size / MB)} MB, ${Math.floor((bytes * 100) / size)} %`;
  const more = others.length === 0 ? '' : `, and ${others.length} more`;
  const why = trouble === undefined ? '' : `; ${trouble}`;
  return shortened(`fetching ${shownUri(uri)}: ${amount}${more}${why}`, LIMITS.messageLength);
}

function byTrouble(one: Progress, other: Progress): number {
  return Number(other.trouble !== undefined) - Number(one.trouble !== undefined);
}

/** What happened first: lists of many tasks have room for a few words. */
export function failureWords(uri: string, why: string): string {
  return shortened(`${why} (artifact ${shownUri(uri)})`, LIMITS.messageLength);
}

/** What kept the agent from writing, by the system's code. */
export function diskWords(code: string): string {
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'the disk of this agent has no room for it';
  // Parts of the program are loaded when they are needed: whoever builds anew in its place takes them away.
  if (code === 'ERR_MODULE_NOT_FOUND')
    return `the program of this agent was replaced while it ran: it is to be restarted (${code})`;
  return `the disk of this agent failed: ${code}`;
}
