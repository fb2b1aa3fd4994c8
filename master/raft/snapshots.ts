import { assert } from '../../protocol/faults.ts';
import { commitTo } from './following.ts';
import type { Piece, Progress, Shipment } from './progress.ts';
import { joined } from './slice.ts';
import { type Arrival, type RaftState, type Received, send, sendAfterWrite } from './state.ts';

/** Pieces that may be on the way to one follower at once: a heartbeat never waits behind more. */
const WINDOW = 8;

/** A follower lacks what the log no longer has: the shell is asked for the state. Nothing is sent to one that is silent. */
export function wantShipment(state: RaftState, peer: string, progress: Progress): void {
  if (!progress.active) return;
  if (progress.state !== 'snapshot') progress.snapshot();
  state.out.wantsSnapshot.add(peer);
}

/** The state as of `index`, for a follower that {@link wantShipment} named. */
export function ship(state: RaftState, peer: string, index: number, term: number, pieces: readonly Piece[]): void {
  const progress = state.progress.get(peer);
  if (state.role !== 'leader' || progress?.state !== 'snapshot' || progress.shipment !== undefined) return;
  assert(pieces.length > 0, 'a snapshot has pieces');
  const membership = state.log.membershipAt(index);
  progress.shipment = { index, term, membership, pieces, arrived: 0, sent: 0, heard: 0, silent: 0 };
  sendShipment(state, peer, progress.shipment);
}

export function sendShipment(state: RaftState, to: string, shipment: Shipment): void {
  const { index, term: logTerm, membership, pieces } = shipment;
  const end = Math.min(pieces.length, shipment.arrived + WINDOW);
  for (; shipment.sent < end; shipment.sent++) {
    const piece = pieces[shipment.sent];
    assert(piece !== undefined, 'a piece that is sent is there');
    const part = shipment.sent;
    send(state, { type: 'SNAPSHOT', to, index, logTerm, membership, part, last: part === pieces.length - 1, ...piece });
  }
}

export function onSnapshotReply(state: RaftState, message: Received<'SNAPSHOT_REPLY'>): void {
  const progress = state.progress.get(message.from);
  if (progress === undefined) return;
  progress.heard = true;
  const { shipment } = progress;
  if (shipment?.index !== message.index) return;
  shipment.heard = message.parts;
  if (message.parts <= shipment.arrived) return;
  shipment.arrived = Math.min(message.parts, shipment.pieces.length);
  shipment.sent = Math.max(shipment.sent, shipment.arrived);
  shipment.silent = 0;
  sendShipment(state, message.from, shipment);
}

/** §7. Pieces are taken in order, what comes out of it is asked for again; the last one makes the state this one's. */
export function onSnapshot(state: RaftState, message: Received<'SNAPSHOT'>): void {
  const { from, index, logTerm: term, membership, part } = message;
  if (index <= state.commitIndex) {
    sendAfterWrite(state, appendedUpTo(from, state.commitIndex));
    return;
  }
  if (state.log.termAt(index) === term) {
    // The log reaches further than the snapshot and agrees with it: nothing is thrown away (§7).
    commitTo(state, index);
    sendAfterWrite(state, appendedUpTo(from, index));
    return;
  }
  const known = state.arrival;
  const arrival: Arrival =
    known?.from === from && known.index === index && known.term === term
      ? known
      : { from, index, term, membership, slices: [], open: [], parts: 0 };
  state.arrival = arrival;
  if (part === arrival.parts) take(arrival, message);
  if (message.last && arrival.parts === part + 1) install(state, arrival);
  else send(state, { type: 'SNAPSHOT_REPLY', to: from, index, parts: arrival.parts });
}

function take(arrival: Arrival, { bytes, ends }: Received<'SNAPSHOT'>): void {
  arrival.parts++;
  arrival.open.push(bytes);
  if (!ends) return;
  arrival.slices.push(joined(arrival.open));
  arrival.open = [];
}

function install(state: RaftState, arrival: Arrival): void {
  const { from, index, term, membership } = arrival;
  state.arrival = undefined;
  state.log.restore({ index, term }, membership);
  state.commitIndex = index;
  state.durableIndex = 0;
  state.completeAt = undefined;
  state.out.unwritten = index + 1;
  state.out.restored = arrival;
  sendAfterWrite(state, appendedUpTo(from, index));
}

function appendedUpTo(to: string, index: number) {
  return { type: 'APPEND_REPLY', to, index, reject: false, hint: 0, hintTerm: 0, blank: false } as const;
}
