import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { add, contains, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import {
  isTerminal,
  type Reason,
  type TaskInfo,
  type TaskState,
  type TaskStatus,
  transition,
} from '../../protocol/task.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import {
  type AgentRecord,
  type FinishedTask,
  type Registry,
  type TaskRecord,
  taskKey,
  tasksOfAgent,
} from './registry.ts';

/** What an agent has that no live task holds. */
export function freeOf(registry: Registry, agent: AgentRecord): Resources {
  let used: Resources = [];
  for (const task of tasksOfAgent(registry, agent.agent))
    if (!isTerminal(task.state)) used = add(used, task.info.resources);
  return subtract(agent.resources, used);
}

/**
 * Checks replicated facts only: offers are the leader's memory and die with its term. A launch belongs to one epoch
 * of its agent. A task already placed is answered with what became of it.
 */
export function applyLaunch(registry: Registry, command: Extract<Command, { kind: 'LAUNCH' }>): RegistryEvent[] {
  const agent = registry.agents.get(command.agent);
  let free = agent === undefined ? [] : freeOf(registry, agent);
  const broken = brokenGroups(registry, agent, command, free);
  const events: RegistryEvent[] = [];
  for (const info of command.tasks) {
    const task = staged(command, info);
    const known = registry.tasks.get(taskKey(command.framework, info.task, info.attempt));
    const fault = refusal(registry, agent, command, task, known, free) ?? broken.get(info.group ?? '');
    if (fault !== undefined) {
      events.push({
        kind: 'TASK_REFUSED',
        framework: command.framework,
        role: command.role,
        agent: command.agent,
        task,
        fault,
        known,
      });
      continue;
    }
    free = subtract(free, info.resources);
    replaceTask(registry, task);
    events.push({ kind: 'TASK_PLACED', task });
  }
  return events;
}

/** Groups of which a task is refused, with the fault: then all of it is. A group is never cut into several commands. */
function brokenGroups(
  registry: Registry,
  agent: AgentRecord | undefined,
  command: Extract<Command, { kind: 'LAUNCH' }>,
  free: Resources,
): ReadonlyMap<string, Fault> {
  const broken = new Map<string, Fault>();
  if (command.tasks.every(({ group }) => group === undefined)) return broken;
  let left = free;
  for (const info of command.tasks) {
    const known = registry.tasks.get(taskKey(command.framework, info.task, info.attempt));
    const fault = refusal(registry, agent, command, staged(command, info), known, left);
    if (fault === undefined) left = subtract(left, info.resources);
    else if (info.group !== undefined) broken.set(info.group, fault);
  }
  return broken;
}

function staged(command: Extract<Command, { kind: 'LAUNCH' }>, info: TaskInfo): TaskRecord {
  return {
    framework: command.framework,
    info,
    role: command.role,
    agent: command.agent,
    epoch: command.epoch,
    state: 'TASK_STAGING',
    reason: undefined,
    message: undefined,
    restart: 0,
    sequence: 0,
    exitCode: undefined,
    output: undefined,
    createdMs: command.nowMs,
    startedMs: undefined,
    finishedMs: undefined,
    unreachableMs: undefined,
    kill: undefined,
    orphan: false,
    pending: [],
  };
}

function refusal(
  registry: Registry,
  agent: AgentRecord | undefined,
  command: Extract<Command, { kind: 'LAUNCH' }>,
  { info }: TaskRecord,
  known: TaskRecord | undefined,
  free: Resources,
): Fault | undefined {
  if (known !== undefined || registry.finished.has(taskKey(command.framework, info.task, info.attempt))) {
    return new Fault('EXISTS', `attempt ${info.attempt} of task ${info.task} was launched before`);
  }
  if (!registry.frameworks.has(command.framework))
    return new Fault('NOT_REGISTERED', `framework ${command.framework} is not subscribed`);
  if (agent === undefined || agent.state !== 'active' || agent.epoch !== command.epoch) {
    return new Fault('OFFER_GONE', `agent ${command.agent} is not in the session that was offered`);
  }
  if (agent.drain !== undefined) return new Fault('OFFER_GONE', `agent ${agent.name} is being drained`);
  if (!contains(free, info.resources)) {
    return new Fault(
      'OVER_OFFER',
      `task ${info.task} needs ${formatResources(info.resources)}; agent ${agent.name} has ${formatResources(free)} free`,
    );
  }
  if (registry.tasks.size >= LIMITS.tasks) return new Fault('LIMIT', `the cluster holds ${LIMITS.tasks} tasks already`);
  return undefined;
}

/** Applies an agent's reports in the order of their sequence; what was seen before is only acknowledged again. */
export function applyUpdates(registry: Registry, command: Extract<Command, { kind: 'UPDATE_TASKS' }>): RegistryEvent[] {
  const events: RegistryEvent[] = [];
  for (const status of command.updates) {
    const task = registry.tasks.get(taskKey(status.framework, status.task, status.attempt));
    if (task === undefined || task.agent !== command.agent || status.sequence <= task.sequence) {
      events.push({ kind: 'UPDATE_REPEATED', agent: command.agent, uuid: status.uuid });
      if (task === undefined) events.push(...givenUp(registry, command.agent, status));
      continue;
    }
    // A hole in the sequence: the earlier update is still on its way, and both will be sent again.
    if (status.sequence > task.sequence + 1) continue;
    events.push(...updated(registry, task, status, command.nowMs));
  }
  return events;
}

function updated(registry: Registry, task: TaskRecord, status: TaskStatus, nowMs: number): RegistryEvent[] {
  const move = transition(task.state, status.state);
  if (move === 'refused' || isTerminal(task.state)) {
    replaceTask(registry, { ...task, sequence: status.sequence });
    const repeated: RegistryEvent = { kind: 'UPDATE_REPEATED', agent: task.agent, uuid: status.uuid };
    return isTerminal(task.state) ? [repeated, ...unwanted(registry, task.agent, status)] : [repeated];
  }
  const ended = isTerminal(status.state);
  // The agent knows that it was asked to end it, not why.
  const ours = status.reason === 'KILLED_BY_REQUEST' ? (task.kill?.reason ?? status.reason) : status.reason;
  const told = ours === undefined ? status : { ...status, reason: ours };
  const record: TaskRecord = {
    ...task,
    state: status.state,
    reason: ours,
    message: status.message,
    restart: status.restart,
    sequence: status.sequence,
    exitCode: status.exitCode ?? task.exitCode,
    output: status.output ?? task.output,
    ...(status.healthy === undefined && task.healthy === undefined ? {} : { healthy: status.healthy }),
    ...(status.checkStatus === undefined && task.checkStatus === undefined ? {} : { checkStatus: status.checkStatus }),
    startedMs: task.startedMs ?? (status.state === 'TASK_RUNNING' || ended ? nowMs : undefined),
    finishedMs: ended ? nowMs : undefined,
    unreachableMs: undefined,
    pending: bounded([...task.pending, { ...told, receivedMs: nowMs }]),
  };
  replaceTask(registry, record);
  return [
    { kind: 'TASK_UPDATED', task: record, uuid: status.uuid, freed: ended, tell: true },
    ...forgetUnheard(registry, record, nowMs),
  ];
}

/** Ended here without a word of its agent's. */
const GIVEN_UP: ReadonlySet<TaskState> = new Set(['TASK_LOST', 'TASK_DROPPED', 'TASK_GONE', 'TASK_GONE_BY_OPERATOR']);

/** The agent speaks of a run whose end is history already. */
function givenUp(registry: Registry, agent: string, status: TaskStatus): RegistryEvent[] {
  const ended = registry.finished.get(taskKey(status.framework, status.task, status.attempt));
  return ended?.agent === agent && GIVEN_UP.has(ended.state) ? unwanted(registry, agent, status) : [];
}

/** It goes on although its end was committed: the first end stands, and it is killed. */
function unwanted(registry: Registry, id: string, { framework, task, attempt, state }: TaskStatus): RegistryEvent[] {
  const agent = registry.agents.get(id);
  if (agent === undefined || isTerminal(state)) return [];
  return [{ kind: 'RUN_UNWANTED', agent, framework, task, attempt }];
}

/** A task that restarts for ever must not grow: its oldest reports go first, the newest always stays. */
function bounded<Item>(pending: readonly Item[]): readonly Item[] {
  return pending.length > LIMITS.unacknowledgedPerTask ? pending.slice(-LIMITS.unacknowledgedPerTask) : pending;
}

/** Time-outs, as the leader proposed them: a task that came back or ended in between is left alone. */
export function applyEnd(registry: Registry, command: Extract<Command, { kind: 'END_TASKS' }>): RegistryEvent[] {
  const events: RegistryEvent[] = [];
  for (const { framework, task, attempt } of command.tasks) {
    const record = registry.tasks.get(taskKey(framework, task, attempt));
    if (record === undefined || isTerminal(record.state)) continue;
    if (command.state === 'TASK_LOST' && record.state !== 'TASK_UNREACHABLE') continue;
    if (command.state === 'TASK_DROPPED' && record.state !== 'TASK_STAGING') continue;
    events.push(...endTask(registry, record, command));
  }
  return events;
}

interface Ending {
  readonly state: TaskState;
  readonly reason: Reason;
  readonly message: string;
  readonly nowMs: number;
}

/** Ends a task without a word from its agent; the framework is told until it acknowledges. */
export function endTask(
  registry: Registry,
  task: TaskRecord,
  { state, reason, message, nowMs }: Ending,
): RegistryEvent[] {
  const { framework, info, restart, sequence } = task;
  const uuid = `end-${info.attempt}-${sequence}`;
  const status = {
    framework,
    task: info.task,
    attempt: info.attempt,
    restart,
    uuid,
    sequence,
    state,
    reason,
    message,
    receivedMs: nowMs,
  };
  const record: TaskRecord = {
    ...task,
    state,
    reason,
    message,
    finishedMs: nowMs,
    pending: bounded([...task.pending, status]),
  };
  replaceTask(registry, record);
  return [
    { kind: 'TASK_UPDATED', task: record, uuid: '', freed: true, tell: true },
    ...forgetUnheard(registry, record, nowMs),
  ];
}

/** What the framework has heard is dropped; a task that has ended and been heard moves to the bounded history. */
export function applyAcknowledge(
  registry: Registry,
  command: Extract<Command, { kind: 'ACKNOWLEDGE' }>,
): RegistryEvent[] {
  const events: RegistryEvent[] = [];
  const heard = new Map<string, Set<string>>();
  for (const { task, uuid } of command.updates) {
    const uuids = heard.get(task);
    if (uuids === undefined) heard.set(task, new Set([uuid]));
    else uuids.add(uuid);
  }
  for (const [task, uuids] of heard) {
    for (const key of attemptsOf(registry, command.framework, task)) {
      const record = registry.tasks.get(key);
      if (record === undefined) continue;
      const pending = record.pending.filter(({ uuid }) => !uuids.has(uuid));
      if (pending.length === record.pending.length) continue;
      if (pending.length === 0 && isTerminal(record.state)) {
        forget(registry, key, record, command.nowMs);
        events.push({ kind: 'TASK_FORGOTTEN', key, task: record });
      } else {
        replaceTask(registry, { ...record, pending });
      }
    }
  }
  return events;
}

/** Moves an ended task into the history, and trims that by count and age. */
export function forget(registry: Registry, key: string, task: TaskRecord, nowMs: number): void {
  removeTask(registry, key, task);
  registry.finished.set(key, finishedOf(task, nowMs));
  for (const [oldest, record] of registry.finished) {
    if (registry.finished.size <= LIMITS.finishedTasks && record.finishedMs > nowMs - LIMITS.finishedTaskMs) break;
    registry.finished.delete(oldest);
  }
}

/** An end that nobody will acknowledge, for its framework is gone or was never here, waits for nobody. */
export function forgetUnheard(registry: Registry, task: TaskRecord, nowMs: number): RegistryEvent[] {
  if (registry.frameworks.has(task.framework) || !isTerminal(task.state)) return [];
  const key = taskKey(task.framework, task.info.task, task.info.attempt);
  forget(registry, key, task, nowMs);
  return [{ kind: 'TASK_FORGOTTEN', key, task }];
}

/** Bytes of a {@link FinishedTask} on the disk without its ids and its message, at most. */
const FINISHED_BYTES = 200;
const FINISHED_FIXED_BYTES = 108;

function finishedOf(task: TaskRecord, nowMs: number): FinishedTask {
  const ids = task.framework.length + task.info.task.length + task.agent.length;
  return {
    framework: task.framework,
    task: task.info.task,
    attempt: task.info.attempt,
    restart: task.restart,
    agent: task.agent,
    state: task.state,
    reason: task.reason,
    message: task.message === undefined ? undefined : cutTo(task.message, FINISHED_BYTES - FINISHED_FIXED_BYTES - ids),
    exitCode: task.exitCode,
    stdout: task.output?.stdout ?? 0,
    stderr: task.output?.stderr ?? 0,
    createdMs: task.createdMs,
    startedMs: task.startedMs,
    finishedMs: task.finishedMs ?? nowMs,
  };
}

/** The longest beginning that takes at most `bytes` in UTF-8. */
function cutTo(text: string, bytes: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, bytes)));
  return text.slice(0, read);
}

/** Remembered until the task has ended: an agent that comes back is told. A later kill can only shorten the grace. */
export function applyKill(
  registry: Registry,
  command: Extract<Command, { kind: 'KILL' | 'KILL_ATTEMPTS' }>,
): RegistryEvent[] {
  const events: RegistryEvent[] = [];
  for (const { task, graceMs, tell, ...one } of command.tasks) {
    const attempt = 'attempt' in one ? one.attempt : undefined;
    for (const key of attemptsOf(registry, command.framework, task)) {
      const record = registry.tasks.get(key);
      if (record === undefined || isTerminal(record.state)) continue;
      if (attempt !== undefined && record.info.attempt !== attempt) continue;
      const before = record.kill;
      const ofTask = record.info.killGraceMs;
      const longer = before !== undefined && (before.graceMs ?? ofTask) <= (graceMs ?? ofTask);
      const killed: TaskRecord = {
        ...record,
        kill: {
          graceMs: longer ? before.graceMs : graceMs,
          ...(tell === true || before?.tell === true ? { tell: true } : {}),
        },
      };
      replaceTask(registry, killed);
      events.push({ kind: 'KILL_WANTED', task: killed });
    }
  }
  return events;
}

/** Keys of the live attempts of a task: nearly always one, two while a replacement runs. */
export function attemptsOf(registry: Registry, framework: string, task: string): string[] {
  return [...(registry.attempts.get(`${framework}/${task}`) ?? [])];
}

export function replaceTask(registry: Registry, task: TaskRecord): void {
  const key = taskKey(task.framework, task.info.task, task.info.attempt);
  registry.tasks.set(key, task);
  indexed(registry.tasksOf, task.agent, key);
  indexed(registry.attempts, `${task.framework}/${task.info.task}`, key);
}

function indexed(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at);
  if (keys === undefined) index.set(at, new Set([key]));
  else keys.add(key);
}

function removeTask(registry: Registry, key: string, task: TaskRecord): void {
  registry.tasks.delete(key);
  unindexed(registry.tasksOf, task.agent, key);
  unindexed(registry.attempts, `${task.framework}/${task.info.task}`, key);
}

function unindexed(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(at);
}
