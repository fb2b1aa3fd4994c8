import { type Conversion, type Converter, convert } from '../../protocol/conversion.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import type { ResourceOperation } from '../../protocol/operations.ts';
import { contains } from '../../protocol/resource-arithmetic.ts';
import { formatResources } from '../../protocol/resources.ts';
import { freeOf } from './apply-tasks.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import { withOther } from './held.ts';
import { type AgentRecord, type DoomedVolume, type OperationRecord, operationKey, type Registry } from './registry.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** What an operation makes of an agent: of what no task holds. */
export function operated(
  registry: Registry,
  agent: AgentRecord,
  operation: ResourceOperation,
  converter: Converter,
): Conversion | Fault {
  const conversion = convert(agent, operation, converter);
  if (conversion instanceof Fault) return conversion;
  const doomed = operation.type === 'CREATE' ? isDoomed(agent, operation) : undefined;
  if (doomed !== undefined)
    return new Fault('EXISTS', `resources: what was in volume ${doomed.volume} is still being removed`);
  if (converted(agent, conversion).resources.length > LIMITS.resources)
    return new Fault('LIMIT', `resources: agent ${agent.name} would have more than ${LIMITS.resources} different ones`);
  const free = freeOf(registry, agent);
  if (contains(free, conversion.from)) return conversion;
  return new Fault(
    'OVER_OFFER',
    `resources: agent ${agent.name} has ${formatResources(free) || 'nothing'} free: not ${formatResources(conversion.from)}`,
    'Wait until tasks there have ended, or take less.',
  );
}

function isDoomed({ doomed = [] }: AgentRecord, { resources }: ResourceOperation): DoomedVolume | undefined {
  return doomed.find(({ volume, role }) => resources.some((made) => made.volume === volume && made.role === role));
}

/** The record after a conversion; `operation`: who is told once the content of destroyed volumes is gone. */
export function converted(
  agent: AgentRecord,
  { reservations, volumes, destroyed }: Conversion,
  operation?: string,
): AgentRecord {
  const after = withOther(agent, { reservations, volumes });
  if (destroyed.length === 0) return after;
  const more = destroyed.map(({ volume, role }) => ({ volume, role, operation }));
  return { ...after, doomed: [...(agent.doomed ?? []), ...more] };
}

/** Each operation by itself: one that may not be changes nothing, and those behind it go on without it. */
export function applyOperate(registry: Registry, index: number, command: Of<'OPERATE'>): RegistryEvent[] {
  const { framework, agent, request } = command;
  const outcomes = command.operations.map((operation, at) => ({
    operation: operation.id,
    outcome: operate(registry, command, operation, `${index}.${at}`),
  }));
  const events: RegistryEvent[] = [{ kind: 'OPERATED', framework, agent, request, outcomes }];
  const record = registry.agents.get(agent);
  if (record?.doomed !== undefined && command.operations.some(({ type }) => type === 'DESTROY'))
    events.push({ kind: 'VOLUMES_DOOMED', agent: record });
  return events;
}

/** The record of one that asked for feedback, or why it had no effect; undefined where it had, and did not ask. */
function operate(
  registry: Registry,
  { framework, role, agent: id, epoch, nowMs }: Of<'OPERATE'>,
  operation: ResourceOperation,
  uuid: string,
): OperationRecord | Fault | undefined {
  const key = operation.id === undefined ? undefined : operationKey(framework, operation.id);
  const known = key === undefined ? undefined : registry.operations.get(key);
  if (known !== undefined) return known;
  const agent = registry.agents.get(id);
  if (!registry.frameworks.has(framework))
    return new Fault('NOT_REGISTERED', `framework ${framework} is not subscribed`);
  if (agent === undefined || agent.state !== 'active' || agent.epoch !== epoch)
    return new Fault('OFFER_GONE', `agent ${id} is not in the session that was offered`);
  if (key !== undefined && registry.operations.size >= LIMITS.operationsKept)
    return new Fault('LIMIT', `${LIMITS.operationsKept} operations wait to be acknowledged`);
  const conversion = operated(registry, agent, operation, { role, by: framework });
  if (conversion instanceof Fault) return conversion;
  if (conversion.volumes.length + (agent.doomed?.length ?? 0) > LIMITS.volumesPerAgent)
    return new Fault('LIMIT', `agent ${agent.name} has ${LIMITS.volumesPerAgent} volumes already`);
  registry.agents.set(id, converted(agent, conversion, key));
  if (operation.id === undefined || key === undefined) return undefined;
  const record: OperationRecord = {
    framework,
    operation: operation.id,
    uuid,
    agent: id,
    state: conversion.destroyed.length > 0 ? 'OPERATION_PENDING' : 'OPERATION_FINISHED',
    message: undefined,
    converted: conversion.to,
    sinceMs: nowMs,
  };
  registry.operations.set(key, record);
  return record;
}

/** An agent has removed what was in destroyed volumes, or could not: then it is told again when it registers. */
export function applyVolumesRemoved(registry: Registry, command: Of<'VOLUMES_REMOVED'>): RegistryEvent[] {
  const agent = registry.agents.get(command.agent);
  if (agent === undefined || agent.epoch !== command.epoch) return [];
  const told = ({ volume, role }: DoomedVolume): { problem: string | undefined } | undefined =>
    command.volumes.find((one) => one.volume === volume && one.role === role);
  const before = agent.doomed ?? [];
  const isLeft = (doomed: DoomedVolume): boolean => {
    const news = told(doomed);
    return news === undefined || news.problem !== undefined;
  };
  const left = before.filter(isLeft);
  registry.agents.set(agent.agent, { ...agent, doomed: left.length === 0 ? undefined : left });
  const events: RegistryEvent[] = [];
  for (const key of new Set(before.filter((doomed) => told(doomed) !== undefined).map(({ operation }) => operation))) {
    const waiting = key === undefined ? undefined : registry.operations.get(key);
    const still = left.filter(({ operation }) => operation === key);
    const message = still.map((doomed) => told(doomed)?.problem).find((problem) => problem !== undefined);
    if (waiting?.state !== 'OPERATION_PENDING' || (still.length > 0 && message === undefined)) continue;
    const state = message === undefined ? 'OPERATION_FINISHED' : 'OPERATION_FAILED';
    events.push(...ended(registry, { ...waiting, state, message, sinceMs: command.nowMs }));
  }
  return events;
}

function ended(registry: Registry, operation: OperationRecord): RegistryEvent[] {
  registry.operations.set(operationKey(operation.framework, operation.operation), operation);
  return [{ kind: 'OPERATION_ENDED', operation }];
}

/** The framework has heard of the end, and the operation is forgotten. */
export function applyAcknowledgeOperation(
  registry: Registry,
  { framework, operation, uuid }: Of<'ACKNOWLEDGE_OPERATION'>,
): RegistryEvent[] {
  const key = operationKey(framework, operation);
  const known = registry.operations.get(key);
  if (known?.uuid === uuid && known.state !== 'OPERATION_PENDING') registry.operations.delete(key);
  return [];
}

/** An agent that will not come back has no volumes to remove. */
export function endOperations(registry: Registry, agent: string, nowMs: number): RegistryEvent[] {
  const events: RegistryEvent[] = [];
  for (const operation of [...registry.operations.values()]) {
    if (operation.agent !== agent || operation.state !== 'OPERATION_PENDING') continue;
    events.push(...ended(registry, { ...operation, state: 'OPERATION_GONE_BY_OPERATOR', sinceMs: nowMs }));
  }
  return events;
}
