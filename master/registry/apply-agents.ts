import { isOtherMachine, type KnownTask } from '../../protocol/agent-link.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isTerminal } from '../../protocol/task.ts';
import { isBoundToOther } from './apply-joins.ts';
import { endOperations } from './apply-operations.ts';
import { endTask, replaceTask } from './apply-tasks.ts';
import type { Command, RegisterAgent } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import { held } from './held.ts';
import { type AgentRecord, type Registry, type TaskRecord, taskKey, tasksOfAgent } from './registry.ts';
import { remember } from './requests.ts';

/**
 * A registration gives a new epoch: the index of its commit. It is idempotent by (incarnation, counter), and an older
 * counter is refused: a delayed duplicate must not end the session of a newer process (notes on fencing: without
 * this, agents are over-allocated).
 */
export function applyRegister(registry: Registry, index: number, command: RegisterAgent): RegistryEvent[] {
  const known = registry.agents.get(command.agent);
  const fault = registrationRefusal(registry, command);
  if (fault !== undefined)
    return [{ kind: 'AGENT_REFUSED', agent: command.agent, name: command.name, counter: command.counter, fault }];
  if (
    known !== undefined &&
    known.incarnation === command.incarnation &&
    known.counter === command.counter &&
    known.state === 'active'
  ) {
    return [{ kind: 'AGENT_REGISTERED', agent: known, counter: command.counter, repeated: true, formerly: undefined }];
  }
  const formerly = known !== undefined && known.name !== command.name ? known.name : undefined;
  if (formerly !== undefined) registry.names.delete(formerly);
  const { agent, name, machine, serial, incarnation, counter, hostname, boot, resources, attributes, metered, nowMs } =
    command;
  const record: AgentRecord = {
    agent,
    name,
    machine,
    serial,
    epoch: index,
    incarnation,
    counter,
    hostname,
    boot,
    ...(known === undefined ? { resources } : held(known, resources)),
    ...(known?.drain === undefined ? {} : { drain: known.drain }),
    ...(known?.overruled === undefined ? {} : { overruled: known.overruled }),
    ...(known?.window === undefined ? {} : { window: known.window }),
    attributes,
    metered,
    state: 'active',
    registeredMs: nowMs,
    sinceMs: nowMs,
  };
  registry.agents.set(agent, record);
  registry.names.set(name, agent);
  return [
    { kind: 'AGENT_REGISTERED', agent: record, counter, repeated: false, formerly },
    ...reconcileTasks(registry, record, command.tasks, nowMs, true),
  ];
}

/** The full list of an agent whose digest differed: launches still on their way to it are left alone. */
export function applyReconcile(
  registry: Registry,
  command: Extract<Command, { kind: 'RECONCILE_AGENT' }>,
): RegistryEvent[] {
  const agent = registry.agents.get(command.agent);
  if (agent === undefined || agent.epoch !== command.epoch || agent.state !== 'active') return [];
  return reconcileTasks(registry, agent, command.tasks, command.nowMs, false);
}

/** Whether a list says anything that {@link applyReconcile} would write down: a flapping link must not fill the log. */
export function tellsNews(registry: Registry, agent: AgentRecord, listed: readonly KnownTask[]): boolean {
  const has = new Map(listed.map((known) => [taskKey(known.framework, known.task, known.attempt), known]));
  for (const task of tasksOfAgent(registry, agent.agent)) {
    const key = taskKey(task.framework, task.info.task, task.info.attempt);
    const known = has.get(key);
    has.delete(key);
    const same = isTerminal(task.state)
      ? known === undefined || isTerminal(known.state)
      : known === undefined
        ? task.state === 'TASK_STAGING'
        : task.epoch === agent.epoch && task.restart === known.restart && task.sequence >= known.sequence;
    if (!same || task.state === 'TASK_UNREACHABLE') return true;
  }
  return [...has.values()].some(({ state }) => !isTerminal(state));
}

/** Why that registration is refused, as things stand; undefined where it is not. */
export function registrationRefusal(registry: Registry, command: RegisterAgent): Fault | undefined {
  const known = registry.agents.get(command.agent);
  if (known?.state === 'gone') return new Fault('GONE', `agent ${command.agent} (${command.name}) was declared gone`);
  if (known !== undefined && isOtherMachine(known, command)) {
    return new Fault(
      'CLONED',
      `agent ${command.agent} belongs to the machine of ${known.name}; this one has another machine-id or serial number`,
    );
  }
  if (known !== undefined && known.name !== command.name && !isSameMachine(known, command)) {
    return new Fault(
      'CLONED',
      `agent ${command.agent} is known as ${known.name}; it takes another name only on a machine with the machine-id or serial number it had`,
    );
  }
  if (known !== undefined && command.counter < known.counter) {
    return new Fault(
      'STALE',
      `registration ${command.counter} of agent ${command.agent} is older than ${known.counter}`,
    );
  }
  if (isBoundToOther(registry, command.name, command)) {
    return new Fault(
      'CLONED',
      `the credential of ${command.name} was given to another machine`,
      'Join this one by itself: a data folder of its own, and a join token.',
    );
  }
  const holder = registry.names.get(command.name);
  if (holder !== undefined && holder !== command.agent) {
    return new Fault(
      'NAME_TAKEN',
      `the name ${command.name} belongs to agent ${holder}`,
      `Start this one with another --name (${freeName(registry, command.name)} is free), or declare the other one gone: mesq gone ${command.name}`,
    );
  }
  return undefined;
}

/** Shown to be, not only not shown to be another: an agent's id is no secret. */
function isSameMachine(known: { machine: string; serial: string }, now: { machine: string; serial: string }): boolean {
  return (
    (known.machine !== '' && known.machine === now.machine) || (known.serial !== '' && known.serial === now.serial)
  );
}

function freeName(registry: Registry, name: string): string {
  for (let number = 2; ; number++) {
    const candidate = `${name.slice(0, 58)}-${number}`;
    if (!registry.names.has(candidate)) return candidate;
  }
}

/**
 * The list of a registration is exact, since an agent refuses launches while it registers: what it does not list it
 * does not run. A launch it never answered is TASK_DROPPED, one it had is TASK_GONE. What nobody here knows is an orphan in a
 * cluster that was restored, to be adopted or killed by a framework or an operator, never by itself; in its first
 * generation a cluster has launched all that runs, and forgotten nothing but what ended.
 */
function reconcileTasks(
  registry: Registry,
  agent: AgentRecord,
  listed: readonly KnownTask[],
  nowMs: number,
  exact: boolean,
): RegistryEvent[] {
  const events: RegistryEvent[] = [];
  const isRestored = (registry.cluster?.generation ?? 1) > 1;
  const has = new Map(listed.map((known) => [taskKey(known.framework, known.task, known.attempt), known]));
  for (const task of tasksOfAgent(registry, agent.agent)) {
    const key = taskKey(task.framework, task.info.task, task.info.attempt);
    const known = has.get(key);
    has.delete(key);
    if (isTerminal(task.state)) {
      if (known !== undefined && !isTerminal(known.state)) events.push(unwanted(agent, known));
      continue;
    }
    if (known === undefined && task.state === 'TASK_STAGING' && !exact) continue;
    if (known === undefined) {
      const answered = task.state !== 'TASK_STAGING';
      events.push(
        ...endTask(registry, task, {
          state: answered ? 'TASK_GONE' : 'TASK_DROPPED',
          reason: 'AGENT_REREGISTERED',
          message: answered
            ? `agent ${agent.name} came back without it`
            : `the launch never reached agent ${agent.name}`,
          nowMs,
        }),
      );
    } else {
      const returned = task.state === 'TASK_UNREACHABLE' && !isTerminal(known.state);
      const back: TaskRecord = {
        ...task,
        ...(returned ? { state: known.state, reason: 'AGENT_REREGISTERED' } : {}),
        epoch: agent.epoch,
        restart: known.restart,
        sequence: Math.max(task.sequence, known.sequence),
        unreachableMs: undefined,
      };
      replaceTask(registry, back);
      events.push({ kind: 'TASK_UPDATED', task: back, uuid: '', freed: false, tell: back.state !== task.state });
    }
  }
  for (const known of has.values()) {
    if (isTerminal(known.state)) continue;
    const key = taskKey(known.framework, known.task, known.attempt);
    // What ended, or was placed on another agent, or was launched by nobody, is not this agent's to run, and still less to
    // take over: its word would end whatever task it names.
    if (registry.finished.has(key) || registry.tasks.has(key) || !isRestored) {
      events.push(unwanted(agent, known));
      continue;
    }
    if (registry.tasks.size >= LIMITS.tasks) continue;
    const orphan = orphanOf(known, agent, nowMs);
    replaceTask(registry, orphan);
    events.push({ kind: 'TASK_ORPHANED', task: orphan });
  }
  return events;
}

/** It runs on, and the cluster has given it up: the first end that was committed stands. */
function unwanted(agent: AgentRecord, { framework, task, attempt }: KnownTask): RegistryEvent {
  return { kind: 'RUN_UNWANTED', agent, framework, task, attempt };
}

function orphanOf(known: KnownTask, agent: AgentRecord, nowMs: number): TaskRecord {
  return {
    framework: known.framework,
    info: {
      task: known.task,
      attempt: known.attempt,
      argv: ['unknown'],
      resources: known.resources,
      restart: 'never',
      killGraceMs: 3_000,
    },
    role: '*',
    agent: agent.agent,
    epoch: agent.epoch,
    state: known.state,
    reason: undefined,
    message: undefined,
    restart: known.restart,
    sequence: known.sequence,
    exitCode: undefined,
    output: undefined,
    createdMs: nowMs,
    startedMs: undefined,
    finishedMs: undefined,
    unreachableMs: undefined,
    kill: undefined,
    orphan: true,
    pending: [],
  };
}

export function applyReport(registry: Registry, command: Extract<Command, { kind: 'REPORT_AGENT' }>): RegistryEvent[] {
  const known = registry.agents.get(command.agent);
  if (known === undefined || known.epoch !== command.epoch || known.state !== 'active') return [];
  const { resources, attributes } = command;
  const agent: AgentRecord = {
    ...known,
    ...held(known, resources),
    attributes,
  };
  registry.agents.set(agent.agent, agent);
  return [{ kind: 'AGENT_CHANGED', agent }];
}

/** Nothing is freed: an agent out of reach may carry on alone. It returns by registering again. */
export function applyUnreachable(
  registry: Registry,
  command: Extract<Command, { kind: 'AGENT_UNREACHABLE' }>,
): RegistryEvent[] {
  const known = registry.agents.get(command.agent);
  if (known === undefined || known.epoch !== command.epoch || known.state !== 'active') return [];
  const agent: AgentRecord = { ...known, state: 'unreachable', sinceMs: command.nowMs };
  registry.agents.set(agent.agent, agent);
  const events: RegistryEvent[] = [{ kind: 'AGENT_UNREACHABLE', agent }];
  for (const task of tasksOfAgent(registry, agent.agent)) {
    if (isTerminal(task.state)) continue;
    const record: TaskRecord = {
      ...task,
      state: 'TASK_UNREACHABLE',
      reason: 'AGENT_DISCONNECTED',
      unreachableMs: command.nowMs,
    };
    replaceTask(registry, record);
    events.push({ kind: 'TASK_UPDATED', task: record, uuid: '', freed: false, tell: true });
  }
  return events;
}

/** Frees everything and bars the identity for ever. `agent` is its id or its name. */
export function applyGone(registry: Registry, command: Extract<Command, { kind: 'AGENT_GONE' }>): RegistryEvent[] {
  if (registry.requests.has(command.request)) return [];
  const known = registry.agents.get(registry.names.get(command.agent) ?? command.agent);
  if (known === undefined) {
    const fault = new Fault('NOT_FOUND', `there is no agent ${command.agent}`, 'mesq agents lists them.');
    return [{ kind: 'REQUEST_REFUSED', request: command.request, fault }];
  }
  remember(registry, { request: command.request, ok: true, detail: known.agent });
  const agent: AgentRecord = { ...known, state: 'gone', sinceMs: command.nowMs };
  registry.agents.set(agent.agent, agent);
  if (registry.names.get(agent.name) === agent.agent) registry.names.delete(agent.name);
  const events: RegistryEvent[] = [
    { kind: 'AGENT_GONE', agent, request: command.request },
    ...endOperations(registry, agent.agent, command.nowMs),
  ];
  for (const task of tasksOfAgent(registry, agent.agent)) {
    if (isTerminal(task.state)) continue;
    events.push(
      ...endTask(registry, task, {
        state: 'TASK_GONE_BY_OPERATOR',
        reason: 'AGENT_REMOVED_BY_OPERATOR',
        message: `agent ${agent.name} was declared gone`,
        nowMs: command.nowMs,
      }),
    );
  }
  return events;
}
