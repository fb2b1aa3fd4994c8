import type { Encoding } from '../protocol/envelope.ts';
import { cut, type MessageOf } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import type { Quantities } from '../protocol/quantities.ts';
import type { CALLS, StatusEvent } from '../protocol/scheduler.ts';
import { acceptOffers } from './accept-call.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { FrameworkTerms } from './allocator/allocator.ts';
import type { MinAllocatable } from './allocator/min-allocatable.ts';
import type { OfferConstraints } from './allocator/offer-constraints.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { ExecutorLink } from './executor-link.ts';
import type { FrameworkSessions, SessionTerms } from './framework-sessions.ts';
import type { InverseOffers } from './inverse-offers.ts';
import type { Leader } from './leader.ts';
import type { Offering } from './offering.ts';
import { refuseFor } from './offers/filters.ts';
import type { Operations } from './operations.ts';
import { attemptsOf } from './registry/apply-tasks.ts';
import { newestEnded } from './registry/newest-ended.ts';
import { taskKey } from './registry/registry.ts';
import { answerUnknown, type TaskFacts } from './tasks/reconcile.ts';

type Call = MessageOf<typeof CALLS>;
type CallOf<Type extends Call['type']> = Extract<Call, { type: Type }>;

/** What a call works with: the parts of one term. */
export interface SchedulerDesk {
  readonly leader: Leader;
  readonly agents: AgentSessions;
  readonly frameworks: FrameworkSessions;
  readonly clients: ClientSessions;
  readonly offering: Offering;
  readonly executors: ExecutorLink;
  readonly operations: Operations;
  readonly inverse: InverseOffers;
}

/** Answers one call of a framework; who it is comes from the topic. */
export function handleCall(desk: SchedulerDesk, framework: string, call: Call, encoding: Encoding): void {
  if (!maySay(desk, framework, call)) {
    const fault = new Fault('NOT_REGISTERED', `framework ${framework} is not subscribed`);
    desk.frameworks.refuse(framework, fault, encoding);
    return;
  }
  dispatch(desk, framework, call, encoding);
  desk.frameworks.flush();
  desk.offering.flush();
}

/** A TEARDOWN is said until it is answered, also to a leader that has no session: what it removes is enough. */
function maySay({ leader, frameworks }: SchedulerDesk, framework: string, { type }: Call): boolean {
  if (type === 'SUBSCRIBE' || frameworks.active(framework)) return true;
  return type === 'TEARDOWN' && (leader.registry.frameworks.has(framework) || frameworks.get(framework) !== undefined);
}

function dispatch(desk: SchedulerDesk, framework: string, call: Call, encoding: Encoding): void {
  const { leader, offering, clients } = desk;
  switch (call.type) {
    case 'SUBSCRIBE':
      return subscribe(desk, framework, call, encoding);
    case 'UPDATE_FRAMEWORK':
      return update(desk, framework, call);
    case 'ACCEPT':
      return acceptOffers(desk, framework, call);
    case 'DECLINE':
      return decline(desk, framework, call.offers, refuseFor(call.refuseMs));
    case 'REVIVE':
      offering.allocator.revive(framework, call.roles);
      return offering.touchAll();
    case 'SUPPRESS':
      return offering.allocator.suppress(framework, call.roles);
    case 'REQUEST':
      return desk.frameworks.declare(framework, call.requests);
    case 'KILL':
      return kill(desk, framework, call);
    case 'ACKNOWLEDGE':
      return void leader.propose({ kind: 'ACKNOWLEDGE', framework, updates: call.updates, nowMs: leader.wallMs() });
    case 'RECONCILE':
      return reconcile(desk, framework, call);
    case 'ACKNOWLEDGE_OPERATION_STATUS':
      for (const { operation, uuid } of call.updates)
        leader.propose({ kind: 'ACKNOWLEDGE_OPERATION', framework, operation, uuid });
      return;
    case 'RECONCILE_OPERATIONS':
      return desk.operations.reconcile(framework, call.operations);
    case 'ACCEPT_INVERSE_OFFERS':
      return desk.inverse.answer(framework, call.offers, 'accepted');
    case 'DECLINE_INVERSE_OFFERS':
      return desk.inverse.answer(framework, call.offers, 'declined');
    case 'STORE':
      return void leader.propose({
        kind: 'STORE',
        framework,
        key: call.key,
        value: call.value,
        version: call.version,
        request: call.request,
      });
    case 'LOAD':
      return load(desk, framework, call);
    case 'REPLY': {
      const { client, session, request, part, last, body, fault } = call;
      const answer = {
        request,
        part,
        last,
        ...(body === undefined ? {} : { body }),
        ...(fault === undefined ? {} : { fault }),
      };
      return clients.reply(client, session, answer);
    }
    case 'SHOW':
      return leader.show(framework, call.things);
    case 'MESSAGE':
      return desk.executors.tell(framework, call.agent, call.executor, call.data);
    case 'SHUTDOWN':
      return desk.executors.shutDown(framework, call.agent, call.executor);
    case 'TEARDOWN':
      desk.frameworks.leave(framework, encoding);
      offering.allocator.setActive(framework, false);
      offering.rescindFrom(framework, false);
      return void leader.propose({ kind: 'REMOVE_FRAMEWORK', framework, nowMs: leader.wallMs() });
  }
}

/** Offers of an older session die. A framework whose roles stand in the registry already commits nothing. */
function subscribe(desk: SchedulerDesk, framework: string, call: CallOf<'SUBSCRIBE'>, encoding: Encoding): void {
  desk.offering.rescindFrom(framework, false);
  desk.frameworks.begin(framework, encoding, call);
  register(desk, framework, call.roles);
}

/** Offers under a role that it leaves are taken back; what it changes else holds from the next offer on. */
function update(desk: SchedulerDesk, framework: string, call: CallOf<'UPDATE_FRAMEWORK'>): void {
  const { leader, offering, frameworks } = desk;
  frameworks.change(framework, call);
  offering.rescindRoles(framework, (role) => !call.roles.includes(role));
  const known = leader.registry.frameworks.get(framework);
  if (known !== undefined && sameRoles(known.roles, call.roles)) return share(desk, framework);
  leader.propose({ kind: 'SUBSCRIBE_FRAMEWORK', framework, roles: call.roles, nowMs: leader.wallMs() });
}

function sameRoles(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && right.every((role) => left.includes(role));
}

/** It takes part in the sharing, on the terms of its session. */
function share(desk: SchedulerDesk, framework: string): void {
  const session = desk.frameworks.get(framework);
  if (session === undefined) return;
  desk.offering.allocator.setFramework(framework, termsOf(session.terms));
  desk.offering.allocator.setActive(framework, true);
  desk.offering.touchAll();
}

function register(desk: SchedulerDesk, framework: string, roles: readonly string[]): void {
  const known = desk.leader.registry.frameworks.get(framework);
  if (known !== undefined && sameRoles(known.roles, roles) && !desk.frameworks.leaving(framework))
    confirm(desk, framework);
  else desk.leader.propose({ kind: 'SUBSCRIBE_FRAMEWORK', framework, roles, nowMs: desk.leader.wallMs() });
}

/** Its subscription is committed (or was): it is told, once a session, and takes part in the sharing. */
export function confirm(desk: SchedulerDesk, framework: string): void {
  if (desk.frameworks.get(framework)?.active === false) {
    desk.frameworks.subscribed(framework);
    desk.operations.repeat(framework);
    desk.inverse.repeat(framework);
  }
  share(desk, framework);
}

function termsOf({ roles, suppressed, capabilities, wishes, mostPerOffer }: SessionTerms): FrameworkTerms {
  const minimum = new Map<string, MinAllocatable>();
  const constraints = new Map<string, OfferConstraints>();
  const shapes = new Map<string, Quantities>();
  const available = new Map<string, number>();
  for (const wish of wishes) {
    if (wish.minimum !== undefined) minimum.set(wish.role, wish.minimum);
    if (wish.shape !== undefined) shapes.set(wish.role, wish.shape);
    if (wish.availableMs !== undefined) available.set(wish.role, wish.availableMs);
    if (wish.constraints !== undefined) constraints.set(wish.role, wish.constraints);
  }
  return {
    ...{ roles, suppressed, minimum, constraints, shapes, available },
    gpus: capabilities.includes('GPU_RESOURCES'),
    revocable: capabilities.includes('REVOCABLE_RESOURCES'),
    ...(mostPerOffer === undefined ? {} : { mostPerOffer }),
  };
}

function decline({ offering }: SchedulerDesk, framework: string, offers: readonly string[], refuseMs: number): void {
  for (const id of offers) {
    const offer = offering.book.get(id);
    if (offer?.framework !== framework) continue;
    offering.book.take(id);
    offering.decline(offer, refuseMs);
  }
}

/**
 * A task nobody knows is answered as a reconcile is. One whose launch is on its way to the log is known: the kill
 * follows it there.
 */
function kill(desk: SchedulerDesk, framework: string, call: CallOf<'KILL'>): void {
  const { leader, offering } = desk;
  const isKnown = ({ task }: { task: string }): boolean =>
    attemptsOf(leader.registry, framework, task).length > 0 || offering.underWay(framework, task) !== undefined;
  const known = call.tasks.filter(isKnown);
  const told = desk.frameworks.get(framework)?.terms.capabilities.includes('TASK_KILLING_STATE') === true;
  const tell = told ? { tell: true } : {};
  const [all, single] = [known.filter(({ attempt }) => attempt === undefined), known.flatMap(ofAttempt)];
  if (all.length > 0)
    leader.propose({ kind: 'KILL', framework, tasks: all.map(({ task, graceMs }) => ({ task, graceMs, ...tell })) });
  if (single.length > 0)
    leader.propose({ kind: 'KILL_ATTEMPTS', framework, tasks: single.map((one) => ({ ...one, ...tell })) });
  const endedOf = newestEnded(leader.registry, framework);
  for (const asked of call.tasks)
    if (!isKnown(asked)) desk.frameworks.update(framework, answer(desk, framework, { task: asked.task }, endedOf));
}

type Killed = CallOf<'KILL'>['tasks'][number];

function ofAttempt({
  task,
  attempt,
  graceMs,
}: Killed): { task: string; attempt: number; graceMs: number | undefined }[] {
  return attempt === undefined ? [] : [{ task, attempt, graceMs }];
}

function reconcile(desk: SchedulerDesk, framework: string, call: CallOf<'RECONCILE'>): void {
  const { leader, frameworks } = desk;
  if (call.tasks.length === 0) {
    for (const task of leader.registry.tasks.values()) {
      if (task.framework === framework) frameworks.update(framework, frameworks.statusOf(task));
    }
    return;
  }
  const endedOf = newestEnded(leader.registry, framework);
  for (const asked of call.tasks) frameworks.update(framework, answer(desk, framework, asked, endedOf));
}

function answer(
  desk: SchedulerDesk,
  framework: string,
  asked: { task: string; attempt?: number | undefined; agent?: string | undefined },
  endedOf: ReturnType<typeof newestEnded>,
): StatusEvent {
  const { registry } = desk.leader;
  const keys = attemptsOf(registry, framework, asked.task);
  const wanted = asked.attempt === undefined ? keys.at(-1) : taskKey(framework, asked.task, asked.attempt);
  const live = wanted === undefined ? undefined : registry.tasks.get(wanted);
  if (live !== undefined) return { ...desk.frameworks.statusOf(live), acknowledge: false };
  const underWay = desk.offering.underWay(framework, asked.task, asked.attempt);
  const ended =
    wanted !== undefined ? registry.finished.get(wanted) : underWay === undefined ? endedOf(asked.task) : undefined;
  const about = {
    framework,
    task: asked.task,
    attempt: asked.attempt ?? ended?.attempt ?? 0,
    uuid: 'none',
    sequence: 0,
    acknowledge: false,
  };
  if (ended !== undefined) {
    const code = ended.exitCode === undefined ? {} : { exitCode: ended.exitCode };
    const reason = ended.reason === undefined ? {} : { reason: ended.reason };
    return {
      ...about,
      restart: ended.restart,
      state: ended.state,
      ...reason,
      ...code,
      output: { stdout: ended.stdout, stderr: ended.stderr },
      agent: ended.agent,
    };
  }
  if (underWay !== undefined)
    return { ...about, ...underWay, restart: 0, state: 'TASK_STAGING', reason: 'RECONCILIATION' };
  const unknown = answerUnknown({ known: undefined, agent: agentFacts(desk, asked.agent) });
  return {
    ...about,
    restart: 0,
    state: unknown?.state ?? 'TASK_UNKNOWN',
    reason: 'RECONCILIATION',
    message: unknown?.message ?? '',
  };
}

function agentFacts(desk: SchedulerDesk, agent: string | undefined): TaskFacts['agent'] {
  if (agent === undefined) return undefined;
  const record = desk.leader.registry.agents.get(agent);
  if (record === undefined) return 'unknown';
  if (record.state !== 'active') return record.state;
  return desk.agents.connected(agent) ? 'registered' : 'disconnected';
}

function load(desk: SchedulerDesk, framework: string, call: CallOf<'LOAD'>): void {
  const entries: { key: string; value: string; version: number }[] = [];
  for (const record of desk.leader.registry.store.values()) {
    if (record.framework === framework && record.key.startsWith(call.prefix))
      entries.push({ key: record.key, value: record.value, version: record.version });
  }
  const parts = cut(entries);
  parts.forEach((part, at) => {
    desk.frameworks.send(framework, {
      type: 'LOADED',
      request: call.request,
      part: at,
      last: at === parts.length - 1,
      entries: part,
    });
  });
}
