import * as v from 'valibot';
import { check, type MessageOf, type MessageTable, type Outgoing, PROTOCOL } from './envelope.ts';
import { FaultSchema } from './fault-schema.ts';
import { Fault } from './faults.ts';
import { Id } from './ids.ts';
import { LIMITS } from './limits.ts';
import { jsonProblem } from './message-shape.ts';
import { Data, REASONS, TaskInfo } from './task.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
/** A line says its version where it is another than 1. */
const V = v.object({ v: v.optional(v.number(), PROTOCOL.max) });

/** What an executor may say of a task. */
export const EXECUTOR_STATES = [
  'TASK_STARTING',
  'TASK_RUNNING',
  'TASK_KILLING',
  'TASK_FINISHED',
  'TASK_FAILED',
  'TASK_KILLED',
  'TASK_ERROR',
] as const;

/** The attempt may be left out where the executor has one of that task only. */
const Task = { task: Id, attempt: v.optional(Count) };

const Update = v.object({
  ...V.entries,
  type: v.literal('UPDATE'),
  ...Task,
  /** Minted by the executor, once an update: it is acknowledged under it, and heard once however often it is said. */
  uuid: v.optional(Id),
  state: v.picklist(EXECUTOR_STATES),
  reason: v.optional(v.picklist(REASONS)),
  message: v.optional(v.pipe(v.string(), v.maxLength(LIMITS.messageLength))),
  exitCode: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
  /** Handed on to the scheduler as it is. */
  data: v.optional(Data),
});

/**
 * The first line of every connection. After a lost connection it names every task that the executor has, also those
 * whose end was not acknowledged: what it does not name is launched again, or has failed. The updates that were not
 * acknowledged follow it.
 */
const Subscribe = v.object({
  ...V.entries,
  type: v.literal('SUBSCRIBE'),
  /** `MESQ_EXECUTOR_SECRET`. */
  secret: Id,
  tasks: v.optional(v.pipe(v.array(v.object(Task)), v.maxLength(2 * LIMITS.tasksPerExecutor)), []),
});

/** For the framework's scheduler; at most once. */
const Message = v.object({ ...V.entries, type: v.literal('MESSAGE'), data: Data });
/** Answered by the same word. Nothing needs it. */
const Heartbeat = v.object({ ...V.entries, type: v.literal('HEARTBEAT') });

/** executor → agent, one JSON object a line. */
export const EXECUTOR_UP = { SUBSCRIBE: Subscribe, UPDATE: Update, MESSAGE: Message, HEARTBEAT: Heartbeat } as const;

/** Taken in. `executor`, `framework`, `agent` (its id) and `agentName` are ids. */
const Subscribed = v.object({
  ...V.entries,
  type: v.literal('SUBSCRIBED'),
  framework: Id,
  executor: Id,
  agent: Id,
  agentName: Id,
});
const { executor: _executor, restart: _restart, group: _group, artifacts: _artifacts, ...Launched } = TaskInfo.entries;
/** A task as its framework gave it. `sandbox`: the folder (absolute) where its artifacts are; absent where it has none. */
const TaskLaunch = v.object({ ...Launched, sandbox: v.optional(v.string()) });
export type LaunchedTask = v.InferOutput<typeof TaskLaunch>;
/** Start it, and say TASK_RUNNING. One that the executor has already is repeated, not another. */
const Launch = v.object({ ...V.entries, type: v.literal('LAUNCH'), ...TaskLaunch.entries });
/** Start all of them: they belong together. */
const LaunchGroup = v.object({
  ...V.entries,
  type: v.literal('LAUNCH_GROUP'),
  group: Id,
  tasks: v.pipe(v.array(TaskLaunch), v.maxLength(LIMITS.tasksPerGroup)),
});
/** End it within `graceMs`, and say TASK_KILLED. Said again with 0 when that is over; then the executor is ended. */
const Kill = v.object({ ...V.entries, type: v.literal('KILL'), task: Id, attempt: Count, graceMs: Count });
/** The update is durable on the agent, and will reach the framework. */
const Acknowledged = v.object({
  ...V.entries,
  type: v.literal('ACKNOWLEDGED'),
  task: Id,
  attempt: v.optional(Count),
  uuid: Id,
});
/** End everything, then yourself, within `graceMs`. */
const Shutdown = v.object({ ...V.entries, type: v.literal('SHUTDOWN'), graceMs: Count });
/** A line was refused; after a refused SUBSCRIBE the connection is closed. */
const Refused = v.object({ ...V.entries, type: v.literal('ERROR'), fault: FaultSchema });

/** agent → executor, one JSON object a line. MESSAGE is the scheduler's. */
export const EXECUTOR_DOWN = {
  SUBSCRIBED: Subscribed,
  LAUNCH: Launch,
  LAUNCH_GROUP: LaunchGroup,
  KILL: Kill,
  ACKNOWLEDGED: Acknowledged,
  MESSAGE: Message,
  SHUTDOWN: Shutdown,
  ERROR: Refused,
  HEARTBEAT: Heartbeat,
} as const;

/** Reads one line of `table`: a fault BAD_ENCODING, UNKNOWN_TYPE, VERSION or BAD_SHAPE where it is none of it. */
export function readLine<Table extends MessageTable>(table: Table, line: string): MessageOf<Table> | Fault {
  if (line.length > LIMITS.lineBytes) return new Fault('TOO_LARGE', `a line of ${line.length} characters`);
  const problem = jsonProblem(new TextEncoder().encode(line));
  if (problem !== undefined) return new Fault('BAD_ENCODING', `not JSON for us: ${problem}`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return new Fault('BAD_ENCODING', 'a line is a JSON object');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Fault('BAD_SHAPE', 'a line is a JSON object with a type');
  const { v: version = PROTOCOL.max, type } = value as { v?: unknown; type?: unknown };
  if (typeof version !== 'number' || version < PROTOCOL.min || version > PROTOCOL.max)
    return new Fault('VERSION', `this side speaks ${PROTOCOL.min} to ${PROTOCOL.max}`);
  const schema = typeof type === 'string' && Object.hasOwn(table, type) ? table[type] : undefined;
  if (schema === undefined) return new Fault('UNKNOWN_TYPE', `known here: ${Object.keys(table).join(', ')}`);
  return check(schema, value) as MessageOf<Table> | Fault;
}

/** One message as a line, without its end; undefined where it is over `LIMITS.lineBytes`. */
export function writeLine<Table extends MessageTable>(_table: Table, message: Outgoing<Table>): string | undefined {
  const line = JSON.stringify(message);
  return new TextEncoder().encode(line).length < LIMITS.lineBytes ? line : undefined;
}
