import { peersOf, type RaftState, type Received, type Standing, send, sendAfterWrite, setHardState } from './state.ts';

/*
 * A master that finds its log empty may be new, or may have lost it, and with it the votes that it cast and the entries
 * that it acknowledged. So a cluster is founded in two steps. First, a blank master asks all the others: only where
 * none of them has ever voted or held an entry, it writes down who the founders are. Second, it stands for election
 * only when it knows that all the others have written that down too. A blank master that finds one further than that
 * has been here before: it rejoins, and neither votes nor stands until a leader has brought it up to date; the others
 * have to make the majority without it (cf. Viewstamped Replication Revisited §4.3; FAST '18, Protocol-aware recovery).
 */

/** With every tick, until this one is a member: asks those that have not answered what is waited for. */
export function probePeers(state: RaftState): void {
  advance(state);
  if (state.standing === 'member') return;
  for (const to of peersOf(state)) if (!isFounder(state.standings.get(to))) send(state, { type: 'PROBE', to });
}

function advance(state: RaftState): void {
  const peers = peersOf(state);
  if (state.standing === 'blank' && peers.every((peer) => state.standings.has(peer))) {
    state.standing = 'founding';
    state.out.foundation = true;
  }
  if (state.standing === 'founding' && peers.every((peer) => isFounder(state.standings.get(peer))))
    state.standing = 'member';
}

function isFounder(standing: Standing | undefined): boolean {
  return standing === 'founding' || standing === 'member';
}

export function onProbe(state: RaftState, { from: to }: Received<'PROBE'>): void {
  const used = state.hardState.term > 0 || state.log.lastIndex > 0 || state.hardState.rejoining === true;
  const standing = used ? 'member' : state.standing === 'blank' ? 'blank' : 'founding';
  sendAfterWrite(state, { type: 'PROBE_REPLY', to, standing });
}

export function onProbeReply(state: RaftState, { from, standing }: Received<'PROBE_REPLY'>): void {
  if (state.standing === 'blank' && standing === 'member') return rejoin(state);
  // Answers may overtake each other: nobody falls back.
  if (!isFounder(state.standings.get(from)) || standing === 'member') state.standings.set(from, standing);
  // An answer is never answered at once by the next question: a few of them would fill the net.
  advance(state);
}

/**
 * A term was heard of. Nobody has one before all are founders: who is blank has lost its log. It must write that down
 * with the term, or after the next start that term would make a member of it that has promised nothing.
 */
export function termHeard(state: RaftState, term: number): void {
  if (state.standing === 'blank' && term > 0) rejoin(state);
}

/** There is a cluster, and it goes on. */
function rejoin(state: RaftState): void {
  state.standing = 'member';
  // Without them, the next start would take this one for a cluster of its own.
  state.out.foundation = true;
  setHardState(state, { ...state.hardState, rejoining: true });
}

/**
 * A leader speaks. The vote of its term is given to it by who rejoins: whatever was voted before and is forgotten, no
 * second leader of that term can come of it.
 */
export function leaderHeard(state: RaftState, leader: string): void {
  state.standing = 'member';
  if (state.hardState.rejoining === true && state.hardState.vote !== leader)
    setHardState(state, { ...state.hardState, vote: leader });
}
