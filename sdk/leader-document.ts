import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { LeaderDocument } from '../protocol/topics.ts';

const textOf = new TextDecoder();

/** What the retained `leader` topic says, or undefined where it is no such document. */
export function readLeader(payload: Uint8Array): LeaderDocument | undefined {
  try {
    const document = check(LeaderDocument, JSON.parse(textOf.decode(payload)));
    return document instanceof Fault ? undefined : document;
  } catch {
    return undefined;
  }
}
