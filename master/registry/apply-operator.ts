import { drainWish } from '../../protocol/drain-wish.ts';
import { Fault } from '../../protocol/faults.ts';
import { asDisk } from '../../protocol/holdings.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { type ResourceOperation, volumesIn } from '../../protocol/operations.ts';
import { amountOfName, formatQuantities, type Quantities } from '../../protocol/quantities.ts';
import { add } from '../../protocol/resource-arithmetic.ts';
import { ANY_ROLE } from '../../protocol/resource-role.ts';
import type { Resources } from '../../protocol/resources.ts';
import { isTerminal } from '../../protocol/task.ts';
import { converted, operated } from './apply-operations.ts';
import { replaceTask } from './apply-tasks.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import { type AgentRecord, type Registry, type RoleRecord, tasksOfAgent } from './registry.ts';
import { remember } from './requests.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

function refused(request: string, fault: Fault): RegistryEvent[] {
  return [{ kind: 'REQUEST_REFUSED', request, fault }];
}

/** The role as it is to be; what says nothing any more (weight 1, no quota) is not kept. */
function replaceRole(registry: Registry, record: RoleRecord, request: string): RegistryEvent[] {
  if (!registry.roles.has(record.role) && registry.roles.size >= LIMITS.roles)
    return refused(request, new Fault('LIMIT', `${LIMITS.roles} roles have a weight or a quota already`));
  if (record.weight === 1 && record.quota === undefined) registry.roles.delete(record.role);
  else registry.roles.set(record.role, record);
  remember(registry, { request, ok: true, detail: record.role });
  return [{ kind: 'ROLE_CHANGED', role: record, request }];
}

export function applySetWeight(registry: Registry, { role, weight, request }: Of<'SET_WEIGHT'>): RegistryEvent[] {
  if (registry.requests.has(request)) return [];
  return replaceRole(registry, { role, weight, quota: registry.roles.get(role)?.quota }, request);
}

/**
 * Of roles at the top of the tree. A limit below what is in use already is refused unless forced: nothing would be taken
 * away from anybody (Mesos: quota_handler.cpp).
 */
export function applySetQuota(registry: Registry, { role, quota, force, request }: Of<'SET_QUOTA'>): RegistryEvent[] {
  if (registry.requests.has(request)) return [];
  const weight = registry.roles.get(role)?.weight ?? 1;
  if (quota === null) return replaceRole(registry, { role, weight, quota: undefined }, request);
  const over = quota.guarantees.find(
    ({ name, amount }) =>
      quota.limits.some((limit) => limit.name === name) && amountOfName(quota.limits, name) < amount,
  );
  if (over !== undefined)
    return refused(
      request,
      new Fault('BAD_SHAPE', `guarantee: ${formatQuantities([over])} is more than the limit of ${over.name}`),
    );
  const used = usedBy(registry, role);
  const under = quota.limits.find(({ name, amount }) => amountOfName(used, name) > amount);
  if (under !== undefined && !force) {
    const uses = formatQuantities(used.filter(({ name }) => name === under.name));
    return refused(
      request,
      new Fault(
        'BAD_SHAPE',
        `limit: role ${role} uses ${uses} already`,
        'Set it with --force: nothing is taken away, and nothing is added until less is used.',
      ),
    );
  }
  return replaceRole(registry, { role, weight, quota }, request);
}

/** What tasks of a top role and all below hold, by name. */
function usedBy(registry: Registry, top: string): Quantities {
  const used = new Map<string, number>();
  for (const task of registry.tasks.values()) {
    if (isTerminal(task.state) || (task.role !== top && !task.role.startsWith(`${top}/`))) continue;
    for (const { name, scalar } of task.info.resources)
      if (scalar !== undefined) used.set(name, (used.get(name) ?? 0) + scalar);
  }
  return [...used].map(([name, amount]) => ({ name, amount }));
}

/** `agent` is an id or a name. */
export function agentNamed(registry: Registry, agent: string): AgentRecord | Fault {
  const known = registry.agents.get(registry.names.get(agent) ?? agent);
  if (known === undefined || known.state === 'gone')
    return new Fault('NOT_FOUND', `there is no agent ${agent}`, 'mesq agents lists them.');
  return known;
}

/**
 * Reserves of what no task holds, or gives such a reservation back, whoever made it; volumes among it are destroyed
 * first. Offers of the agent are made anew.
 */
export function applyReserve(registry: Registry, command: Of<'RESERVE'> | Of<'UNRESERVE'>): RegistryEvent[] {
  const { request, resources } = command;
  if (registry.requests.has(request)) return [];
  const known = agentNamed(registry, command.agent);
  if (known instanceof Fault) return refused(request, known);
  let agent = known;
  for (const operation of operations(command.kind, resources)) {
    const conversion = operated(registry, agent, operation, { role: undefined, by: undefined });
    if (conversion instanceof Fault) {
      registry.agents.set(known.agent, known);
      return refused(request, withoutField(conversion));
    }
    agent = converted(agent, conversion);
    registry.agents.set(agent.agent, agent);
  }
  remember(registry, { request, ok: true, detail: agent.agent });
  const events: RegistryEvent[] = [
    { kind: 'AGENT_CHANGED', agent },
    { kind: 'OPERATION_DONE', agent, request },
  ];
  return agent.doomed === known.doomed ? events : [...events, { kind: 'VOLUMES_DOOMED', agent }];
}

function operations(kind: 'RESERVE' | 'UNRESERVE', resources: Resources): ResourceOperation[] {
  if (kind === 'RESERVE') return [{ type: 'RESERVE', resources, from: ANY_ROLE }];
  const volumes = resources.filter(({ volume }) => volume !== undefined);
  const disks = volumesIn(volumes).reduce<Resources>((sum, volume) => add(sum, asDisk(volume)), []);
  const rest = add(
    resources.filter(({ volume }) => volume === undefined),
    disks,
  );
  const back: ResourceOperation = { type: 'UNRESERVE', resources: rest };
  return volumes.length === 0 ? [back] : [{ type: 'DESTROY', resources: volumes }, back];
}

/** A person named one thing, and no fields. */
function withoutField({ code, message, hint }: Fault): Fault {
  return new Fault(code, message.replace(/^resources: /, ''), hint);
}

/** No more tasks; those that run end at the deadline at the latest. `deadlineMs`: wall clock of the leader. */
export function applyDrain(
  registry: Registry,
  { agent: asked, deadlineMs, request }: Of<'DRAIN_AGENT'>,
): RegistryEvent[] {
  if (registry.requests.has(request)) return [];
  const known = agentNamed(registry, asked);
  if (known instanceof Fault) return refused(request, known);
  const agent: AgentRecord = { ...known, drain: { deadlineMs } };
  registry.agents.set(agent.agent, agent);
  remember(registry, { request, ok: true, detail: agent.agent });
  return [
    { kind: 'AGENT_DRAINING', agent },
    { kind: 'OPERATION_DONE', agent, request },
  ];
}

/** It goes on as it is until the window begins; what was scheduled before is replaced. */
export function applyScheduleDrain(
  registry: Registry,
  { agent: asked, window, request }: Of<'SCHEDULE_DRAIN'>,
): RegistryEvent[] {
  if (registry.requests.has(request)) return [];
  const known = agentNamed(registry, asked);
  if (known instanceof Fault) return refused(request, known);
  const agent: AgentRecord = { ...known, window };
  registry.agents.set(agent.agent, agent);
  remember(registry, { request, ok: true, detail: agent.agent });
  return [
    { kind: 'DRAIN_SCHEDULED', agent },
    { kind: 'AGENT_CHANGED', agent },
    { kind: 'OPERATION_DONE', agent, request },
  ];
}

/** Of no effect where there is none: who drains a machine by hand asks for it without having seen one. */
export function applyCallOffWindow(registry: Registry, { agent: asked }: Of<'CALL_OFF_WINDOW'>): RegistryEvent[] {
  const known = agentNamed(registry, asked);
  if (known instanceof Fault || known.window === undefined) return [];
  const agent: AgentRecord = { ...known, window: undefined };
  registry.agents.set(agent.agent, agent);
  return [{ kind: 'AGENT_CHANGED', agent }];
}

export function applyResume(
  registry: Registry,
  { agent: asked, overrules, request }: Of<'RESUME_AGENT'>,
): RegistryEvent[] {
  if (registry.requests.has(request)) return [];
  const known = agentNamed(registry, asked);
  if (known instanceof Fault) return refused(request, known);
  // A wish may stand behind a drain that was never for it: whoever resumes means both.
  const overruled = known.drain?.wish ?? known.overruled ?? (overrules ? drainWish(known.attributes) : undefined);
  const agent: AgentRecord = { ...known, drain: undefined, window: undefined, overruled };
  registry.agents.set(agent.agent, agent);
  remember(registry, { request, ok: true, detail: agent.agent });
  return [
    { kind: 'AGENT_RESUMED', agent },
    { kind: 'OPERATION_DONE', agent, request },
  ];
}

/** The deadline of a drain has come: what still lives there is to end. Unless it was resumed in between. */
export function applyEvict(registry: Registry, { agent, tell = [] }: Of<'EVICT_AGENT'>): RegistryEvent[] {
  const known = registry.agents.get(agent);
  if (known?.drain === undefined) return [];
  const events: RegistryEvent[] = [];
  for (const task of tasksOfAgent(registry, agent)) {
    if (isTerminal(task.state) || task.kill !== undefined) continue;
    const told = tell.includes(task.framework) ? { tell: true } : {};
    const killed = { ...task, kill: { graceMs: undefined, reason: 'AGENT_DRAINING' as const, ...told } };
    replaceTask(registry, killed);
    events.push({ kind: 'KILL_WANTED', task: killed });
  }
  return events;
}
