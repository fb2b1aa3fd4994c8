import * as v from 'valibot';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const Carried = v.object({ messages: Count, bytes: Count });

/**
 * What an agent has counted since its process began: bytes of payloads unless it says otherwise, times in
 * milliseconds. A later version may say more: what a leader does not know it leaves out.
 */
export const AgentStats = v.object({
  upMs: Count,
  link: v.object({
    connects: Count,
    /** PINGREQ. */
    keepAlives: Count,
    /** Reports, answers, greetings. */
    controlUp: Carried,
    controlDown: Carried,
    /** Logs and files. */
    bulk: Carried,
    presence: Carried,
    /** Artifacts over HTTP, as they came and not in `wireBytes`; an agent of before does not count them. */
    fetchedBytes: v.optional(Count, 0),
    /** The whole of what goes to and fro between it and its master, both ways, with the headers of MQTT, TLS, TCP and IP: estimated (docs/frugality.md). */
    wireBytes: Count,
  }),
  /** About the machine: sent, and not sent because they say too little, or too soon on a metered link. */
  reports: v.object({ sent: Count, insignificant: Count, soon: Count }),
  /** Handed to files by the agent itself. */
  disk: v.object({
    journal: v.object({ writes: Count, bytes: Count }),
    other: v.object({ writes: Count, bytes: Count }),
    /** Folders made for starts of tasks. */
    folders: Count,
  }),
  tasks: v.object({ started: Count, restarted: Count }),
  /** Lines of its own log. */
  log: v.object({ lines: Count, dropped: Count }),
  bulk: v.object({
    /** Bytes a day; null: as much as is asked for. */
    budget: v.nullable(Count),
    /** Of the budget, now; null without one. */
    left: v.nullable(Count),
    spent: Count,
    /** Of `spent`: sent although the budget was gone, because an operator said so. */
    over: Count,
  }),
  /** Of the agent's own process; null where nobody can tell. */
  process: v.nullable(
    v.object({
      rssKb: Count,
      /** Proportional: what it shares is counted by halves, thirds… */
      pssKb: v.nullable(Count),
      processorMs: Count,
      openFiles: v.nullable(Count),
      /** That reached the block layer, by the kernel's count; null where it does not say. */
      writtenBytes: v.nullable(Count),
    }),
  ),
});
export type AgentStats = v.InferOutput<typeof AgentStats>;
