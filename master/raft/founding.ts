import { majority } from './quorum.ts';
import {
  becomeFollower,
  peersOf,
  type RaftState,
  type Received,
  type Standing,
  send,
  sendAfterWrite,
  setHardState,
  votersOf,
} from './state.ts';

/*
 * A master that finds its log empty may be new, or may have lost it, and with it the votes that it cast and the entries
 * that it acknowledged. So a cluster is founded in two steps. First, a blank master asks all the others: only where
 * none of them has ever voted or held an entry, it writes down who the founders are. Second, it stands for election
 * only when it knows that all the others have written that down too. A blank master that finds one further than that
 * has been here before: it rejoins, and neither votes nor stands until a leader has brought it up to date; the others
 * have to make the majority without it (cf. Viewstamped Replication Revisited §4.3; FAST '18, Protocol-aware recovery).
 * It cannot know, either, of which term it was: a leader that was replaced with its help, and has not heard of it yet,
 * would be believed, and commit by its word what contradicts what it has forgotten. So it listens to leaders only when
 * so many have told it their terms that one of every majority is among them that it may have belonged to.
 */

/** With every tick, until this one is a member that knows its term: asks those that have not answered what is waited for. */
export function probePeers(state: RaftState): void {
  advance(state);
  if (state.standing === 'member') {
    if (!believesLeaders(state)) {
      for (const to of peersOf(state)) if (!state.surveyed.has(to)) send(state, { type: 'PROBE', to });
    } else if (awaitsItsPlace(state) && state.electionElapsed % state.settings.electionTicks === 0)
      for (const to of peersOf(state)) send(state, { type: 'PROBE', to });
    return;
  }
  for (const to of peersOf(state)) if (!isFounder(state.standings.get(to))) send(state, { type: 'PROBE', to });
}

/**
 * Whether this one acts on what a leader says. To one that it does not know of it has no way back: it takes nothing of it
 * before it has learned from the others who they are, which it does only while its log is empty.
 */
export function listensTo(state: RaftState, leader: string): boolean {
  return believesLeaders(state) && !(awaitsItsPlace(state) && !peersOf(state).includes(leader));
}

/** It was started before it was added: whoever it asked knew of no place for it yet. */
function awaitsItsPlace({ hardState, informant, log }: RaftState): boolean {
  return hardState.rejoining === true && informant === undefined && log.lastIndex === 0;
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
  const rejoining = state.hardState.rejoining === true;
  const { lastIndex: index, membership } = state.log;
  const known = standing === 'member' && !rejoining ? { membership } : {};
  sendAfterWrite(state, { type: 'PROBE_REPLY', to, standing, rejoining, index, ...known });
}

export function onProbeReply(state: RaftState, message: Received<'PROBE_REPLY'>): void {
  const { from, standing } = message;
  if (state.standing === 'blank' && standing === 'member') rejoin(state);
  if (!believesLeaders(state)) return survey(state, message);
  if (awaitsItsPlace(state)) learnMembers(state, message);
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

/** True where it is known that no leader of an earlier term than this master has seen can be taken for one. */
function believesLeaders(state: RaftState): boolean {
  return state.hardState.rejoining !== true || state.believes;
}

/** Who has lost its log itself, or may have, has no term to tell. */
function survey(state: RaftState, message: Received<'PROBE_REPLY'>): void {
  const { from, term, standing, rejoining } = message;
  if (rejoining === true || standing === 'blank') return;
  if (term > state.hardState.term) becomeFollower(state, term, undefined);
  state.surveyed.add(from);
  learnMembers(state, message);
  const others = votersOf(state).filter((id) => id !== state.id);
  const voters = others.length + 1;
  // So many of the others meet every majority that this one was of, without it.
  const enough = voters - majority(voters) + 1;
  state.believes = others.filter((id) => state.surveyed.has(id)).length >= enough;
}

/** It may have been told of some of the others only, or of those that founded: it must reach whoever leads. */
function learnMembers(state: RaftState, { term, index = 0, membership }: Received<'PROBE_REPLY'>): void {
  const { log, informant } = state;
  if (membership === undefined || log.lastIndex > 0) return;
  const newer =
    informant === undefined || term > informant.term || (term === informant.term && index > informant.index);
  if (!newer || ![...membership.voters, ...membership.learners].some(({ id }) => id === state.id)) return;
  state.informant = { index, term };
  log.restore(log.start, membership);
  state.out.foundation = true;
}

/** There is a cluster, and it goes on. */
export function rejoin(state: RaftState): void {
  state.standing = 'member';
  state.believes = false;
  state.surveyed.clear();
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
