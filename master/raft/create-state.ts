import type { Membership } from '../../protocol/raft.ts';
import { RaftLog } from './raft-log.ts';
import type { Remembered } from './recover.ts';
import type { RaftSettings, RaftState } from './state.ts';

export interface RaftOptions extends Partial<RaftSettings> {
  readonly id: string;
  readonly remembered: Remembered;
  /** Who founds the cluster, where `remembered` does not tell. Default: this master alone. */
  readonly founders?: Membership;
}

const SETTINGS = { electionTicks: 10, heartbeatTicks: 1, preVote: true, checkQuorum: true, chance: () => 0 } as const;

/** What a master knows when it starts: what it remembers, and nothing of the others. */
export function createState({ id, remembered, founders, ...settings }: RaftOptions): RaftState {
  const { hardState, start, entries, membership } = remembered;
  const used = hardState.term > 0 || start.index > 0 || entries.length > 0 || hardState.rejoining === true;
  const alone: Membership = { voters: [{ id, urls: [] }], learners: [] };
  // A log of the time before memberships were written down is of one master alone; one that rejoins is of several.
  const lonely = used && hardState.rejoining !== true;
  const members = membership ?? (lonely ? alone : (founders ?? alone));
  const log = new RaftLog(start, entries, members);
  const sole = members.voters.length === 1 && members.voters[0]?.id === id && members.learners.length === 0;
  const state: RaftState = {
    id,
    settings: { ...SETTINGS, ...settings },
    log,
    role: 'follower',
    hardState,
    leader: undefined,
    // A snapshot holds only what is committed; of the entries after it nothing is known until a leader commits (§5.4.2).
    commitIndex: start.index,
    durableIndex: log.lastIndex,
    completeAt: undefined,
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTimeout: 0,
    votes: new Map(),
    progress: new Map(),
    transferee: undefined,
    round: 0,
    answered: new Map(),
    reads: [],
    postponed: [],
    arrival: undefined,
    standing: used ? 'member' : membership === undefined ? 'blank' : 'founding',
    standings: new Map(),
    surveyed: new Set(),
    believes: false,
    informant: undefined,
    out: {
      messages: [],
      afterWrite: [],
      hardState: false,
      foundation: false,
      unwritten: log.lastIndex + 1,
      restored: undefined,
      wantsSnapshot: new Set(),
      readsConfirmed: [],
    },
  };
  const { electionTicks, chance } = state.settings;
  // Who is alone waits for nobody.
  state.electionTimeout = sole ? 1 : electionTicks + chance(electionTicks);
  return state;
}
