import * as v from 'valibot';
import { FaultSchema } from './fault-schema.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const Lines = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.terminalLines));
const Argument = v.pipe(
  v.string(),
  v.maxLength(LIMITS.argumentLength),
  v.check((text) => !text.includes('\0'), 'a NUL cannot be passed to a program'),
);

/** An agent that says so lets people in: what `mesq exec` may ask (docs/exec.md). */
export const EXEC_ATTRIBUTE = 'exec';

/** Bytes in a message, or base64 where that is JSON. */
const Bytes = (most: number) =>
  v.union([
    v.pipe(
      v.instance(Uint8Array),
      v.check((bytes) => bytes.length <= most, 'too many bytes at once'),
    ),
    v.pipe(
      v.string(),
      v.base64(),
      v.transform((text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))),
      v.check((bytes) => bytes.length <= most, 'too many bytes at once'),
    ),
  ]);

/** How large a terminal is, in characters. */
export const TerminalSize = v.object({ rows: Lines, columns: Lines });
export type TerminalSize = v.InferOutput<typeof TerminalSize>;

/** What is started in a task's sandbox; with `terminal` under a terminal of its own, of that kind (`TERM`). */
export const ExecStart = v.object({
  argv: v.pipe(v.array(Argument), v.minLength(1), v.maxLength(LIMITS.arguments)),
  terminal: v.optional(
    v.object({ ...TerminalSize.entries, type: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$/)) }),
  ),
});
export type ExecStart = v.InferOutput<typeof ExecStart>;

/**
 * All that a client has to say to its session, each time: whatever is lost is said again, and what comes twice or late
 * changes nothing. Without `incarnation` it only asks for the agent's, so that a start can be bound to it: another
 * process of the agent, which cannot know whether the program ran, does not start it again.
 */
export const ExecWord = v.object({
  /** The session's id, minted by the client. */
  session: Id,
  incarnation: v.optional(Id),
  /** Counts the client's words: an older one does not set the size back. */
  turn: Count,
  /** Until the agent has said that it runs. */
  start: v.optional(ExecStart),
  /** From that offset of its standard input; `end`: there is no more behind these bytes. */
  input: v.optional(v.object({ offset: Count, data: Bytes(LIMITS.execInputBytes), end: v.boolean() })),
  size: v.optional(TerminalSize),
  /** Bytes of each stream that were used: so far the agent forgets them, and may send {@link LIMITS.execWindowBytes} more. */
  used: v.object({ stdout: Count, stderr: Count }),
  /** Something is missing, or may be: what is behind `used` is to be sent again. */
  again: v.optional(v.boolean()),
  /** End it: nobody listens any more. */
  hangUp: v.optional(v.boolean()),
});
export type ExecWord = v.InferOutput<typeof ExecWord>;

/** master → agent: a client's word to its session. */
export const Exec = v.object({
  v: v.number(),
  type: v.literal('EXEC'),
  request: Id,
  client: Id,
  session: Id,
  framework: Id,
  task: Id,
  attempt: Count,
  word: v.omit(ExecWord, ['session']),
});
export type Exec = v.InferOutput<typeof Exec>;

/** agent → client, over bulk: output, how much input was taken, and the end. `request` is the session's id. */
export const ExecOutput = v.object({
  v: v.number(),
  type: v.literal('EXEC_OUTPUT'),
  request: Id,
  client: Id,
  session: Id,
  /** Of the agent's process. */
  incarnation: Id,
  /** It was started here. */
  running: v.boolean(),
  /** Bytes of input that the program's pipe has taken, and one more for its end. */
  taken: Count,
  piece: v.optional(
    v.object({ stream: v.picklist(['stdout', 'stderr']), offset: Count, data: Bytes(LIMITS.chunkBytes) }),
  ),
  /** It has ended, with so many bytes of output: as a shell gives its status. */
  ended: v.optional(v.object({ code: v.pipe(Count, v.maxValue(255)), stdout: Count, stderr: Count })),
  fault: v.optional(FaultSchema),
});
export type ExecOutput = v.InferOutput<typeof ExecOutput>;
