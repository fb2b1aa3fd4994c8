import { check, decode, encode } from '../../protocol/envelope.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { Membership } from '../../protocol/raft.ts';

/** A membership as an entry's payload, or as a record of the log. */
export function encodeMembership(membership: Membership): Uint8Array {
  return encode(membership, 'cbor');
}

/** Faults: `BAD_ENCODING`, `BAD_SHAPE`, `TOO_LARGE`. */
export function decodeMembership(payload: Uint8Array): Membership | Fault {
  const decoded = decode(payload);
  return decoded instanceof Fault ? decoded : check(Membership, decoded.value);
}

/** Of an entry that is in the log already: it was checked on the way in. */
export function membershipOf(payload: Uint8Array): Membership {
  const membership = decodeMembership(payload);
  assert(!(membership instanceof Fault), 'an entry of the log that changes the membership can be read');
  return membership;
}
