import * as v from 'valibot';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';

/** Indexes and terms: so far from the end of the safe integers that sums of them stay exact. */
const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 52));
function bytes(least: number, most: number) {
  return v.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length >= least && value.length <= most,
    `${least} to ${most} bytes are expected`,
  );
}
const Urls = v.pipe(v.array(v.pipe(v.string(), v.maxLength(256))), v.maxLength(16));

/** One master as the others know it: where its broker is reached, one URL a scheme or network. */
export const Member = v.object({ id: Id, urls: v.optional(Urls, []) });
export type Member = v.InferOutput<typeof Member>;

/** True for `mqtt://host[:port]`, `mqtts://`, `ws://` and `wss://`, without credentials: URLs are logged and shown. */
export function isBrokerUrl(text: string): boolean {
  return text.length <= 256 && /^(mqtts?|wss?):\/\/[^\s/?#@]+([/?][^\s#@]*)?$/i.test(text);
}

/** A master that is to be added: what is in the log already is taken as it is. */
export const NewMember = v.object({
  id: Id,
  urls: v.pipe(
    v.array(v.pipe(v.string(), v.check(isBrokerUrl, 'a broker URL is mqtt://host:port, mqtts://, ws:// or wss://'))),
    v.minLength(1),
    v.maxLength(16),
  ),
});

/** Who belongs to the cluster. Voters make majorities; learners only receive the log (Raft thesis §4.2.1). */
export const Membership = v.pipe(
  v.object({
    voters: v.pipe(v.array(Member), v.minLength(1), v.maxLength(LIMITS.masters)),
    learners: v.pipe(v.array(Member), v.maxLength(LIMITS.masters)),
  }),
  // One that is named twice would count twice.
  v.check(({ voters, learners }) => {
    const ids = [...voters, ...learners].map(({ id }) => id);
    return new Set(ids).size === ids.length;
  }, 'each master is named once'),
);
export type Membership = v.InferOutput<typeof Membership>;

/** An entry on its way: its index follows from the message's. */
export const SentEntry = v.object({
  kind: v.picklist(['noop', 'command', 'membership']),
  term: Count,
  payload: bytes(0, LIMITS.commandBytes),
});

/** Cluster and generation, where the sender knows them: whoever belongs to another does not listen. */
const ClusterName = v.pipe(v.string(), v.maxLength(96));
const Each = { v: v.number(), cluster: v.optional(ClusterName), from: Id, to: Id, term: Count };

/** Candidate to all (§5.2): the place of its last entry. `force`: the leader asked for it (§3.10 of the thesis). */
const Vote = v.object({
  ...Each,
  type: v.literal('VOTE'),
  index: Count,
  logTerm: Count,
  force: v.optional(v.boolean(), false),
});
const VoteReply = v.object({ ...Each, type: v.literal('VOTE_REPLY'), reject: v.boolean() });

/** As VOTE, before anybody's term moves (thesis §9.6): `term` is the one the candidate would have. */
const PreVote = v.object({ ...Each, type: v.literal('PRE_VOTE'), index: Count, logTerm: Count });
/** `term` is the one asked for where granted, the voter's own where not. */
const PreVoteReply = v.object({ ...Each, type: v.literal('PRE_VOTE_REPLY'), reject: v.boolean() });

/** Leader to each (§5.3): entries after (`index`, `logTerm`). */
const Append = v.object({
  ...Each,
  type: v.literal('APPEND'),
  index: Count,
  logTerm: Count,
  entries: v.pipe(v.array(SentEntry), v.maxLength(LIMITS.entriesPerAppend)),
  commit: Count,
});
/**
 * Accepted: all up to `index` is durable there. Rejected: `index` is the one asked about, and the two logs can agree at
 * `hint` (of term `hintTerm`) at the latest. `blank`: the answering log has lost what it may have acknowledged before.
 */
const AppendReply = v.object({
  ...Each,
  type: v.literal('APPEND_REPLY'),
  index: Count,
  reject: v.boolean(),
  hint: Count,
  hintTerm: Count,
  blank: v.optional(v.boolean(), false),
});

/** `commit` is at most what the follower is known to hold. `round` numbers the heartbeats of a term (reads, §6.4). */
const Heartbeat = v.object({ ...Each, type: v.literal('HEARTBEAT'), commit: Count, round: Count });
/**
 * `rejoining`: it neither votes nor leads until it has all again (absent: it may). `knows`: the newest commands that its sender can apply, as a number that grows with them; a
 * version without the field knows those of 1.
 */
const HeartbeatReply = v.object({
  ...Each,
  type: v.literal('HEARTBEAT_REPLY'),
  round: Count,
  rejoining: v.optional(v.boolean()),
  knows: v.optional(Count),
});

/** A piece of the leader's state as of (`index`, `logTerm`), numbered from 0; `ends` where a slice of it ends. */
const Snapshot = v.object({
  ...Each,
  type: v.literal('SNAPSHOT'),
  index: Count,
  logTerm: Count,
  membership: Membership,
  part: Count,
  last: v.boolean(),
  ends: v.boolean(),
  bytes: bytes(1, LIMITS.partBytes),
});
/** All pieces below `parts` have arrived. */
const SnapshotReply = v.object({ ...Each, type: v.literal('SNAPSHOT_REPLY'), index: Count, parts: Count });

/** The leader hands over: stand for election at once. */
const TimeoutNow = v.object({ ...Each, type: v.literal('TIMEOUT_NOW') });

const Version = v.optional(v.pipe(v.string(), v.maxLength(64)));
/**
 * A master with an empty log asks how far the others are: it may have had one itself, and lost it. Also the first that is
 * said on every connection: with it, and with the answer, each tells the other its version.
 */
const Probe = v.object({ ...Each, type: v.literal('PROBE'), version: Version });
/**
 * `term` is durable there. `rejoining`: it has lost its log too, and cannot tell what it had promised. `index`: of its
 * last entry; `membership`: who belongs to the cluster as far as its log knows, with their URLs.
 */
const ProbeReply = v.object({
  ...Each,
  type: v.literal('PROBE_REPLY'),
  standing: v.picklist(['blank', 'founding', 'member']),
  rejoining: v.optional(v.boolean()),
  index: v.optional(Count),
  membership: v.optional(Membership),
  version: Version,
});

/** What masters say to each other. Any of it may be lost, doubled, late or out of order. */
export const RAFT = {
  VOTE: Vote,
  VOTE_REPLY: VoteReply,
  PRE_VOTE: PreVote,
  PRE_VOTE_REPLY: PreVoteReply,
  APPEND: Append,
  APPEND_REPLY: AppendReply,
  HEARTBEAT: Heartbeat,
  HEARTBEAT_REPLY: HeartbeatReply,
  SNAPSHOT: Snapshot,
  SNAPSHOT_REPLY: SnapshotReply,
  TIMEOUT_NOW: TimeoutNow,
  PROBE: Probe,
  PROBE_REPLY: ProbeReply,
} as const;
