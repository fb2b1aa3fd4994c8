import type * as v from 'valibot';
import { randomWord } from '../io/random.ts';
import type { Identity } from '../protocol/agent-link.ts';
import { parseConstraints } from '../protocol/constraints.ts';
import { check, cut, decode, type MessageOf } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { Id } from '../protocol/ids.ts';
import { JOIN_SECRET, OPERATIONS, type OperationName, type REQUESTS } from '../protocol/operator.ts';
import { ANY_ROLE } from '../protocol/resource-role.ts';
import { formatResources } from '../protocol/resources.ts';
import { isBuiltIn } from '../protocol/scheduler.ts';
import type { AgentStatsDesk } from './agent-stats.ts';
import { type Asker, type ClientSpeaker, mayAsk } from './client-sessions.ts';
import type { EventFeed } from './event-feed.ts';
import { passWord } from './exec-words.ts';
import { explainWaiting } from './explanations.ts';
import { answerCommitted, type ChangeDesk, changeMasters, handOver } from './master-changes.ts';
import type { Offering } from './offering.ts';
import type { Grant, OutputStreams } from './output-streams.ts';
import { namesRevokedByJoin } from './registry/apply-joins.ts';
import { agentNamed } from './registry/apply-operator.ts';
import { attemptsOf } from './registry/apply-tasks.ts';
import type { Command } from './registry/commands.ts';
import { guaranteeProblem } from './registry/quota-room.ts';
import { type RequestOutcome, taskKey } from './registry/registry.ts';
import { snapshotSlices } from './registry/snapshot.ts';
import { roleViews } from './role-views.ts';
import { piecesOf } from './snapshot-pieces.ts';
import type { Uploads } from './uploads.ts';
import {
  agentView,
  finishedView,
  frameworkView,
  masterViews,
  offerViews,
  taskView,
  type ViewSources,
} from './views.ts';

type Request = MessageOf<typeof REQUESTS>;

export interface OperatorDesk extends ViewSources, ChangeDesk {
  readonly offering: Offering;
  readonly streams: OutputStreams;
  readonly uploads: Uploads;
  readonly stats: AgentStatsDesk;
  readonly feed: EventFeed;
  /** Exec session → what everybody was told of it last. */
  readonly entered: Map<string, string>;
  /** Requests whose commands are on their way: who is to be answered when they are applied. */
  readonly waiting: Map<string, { client: string; session: string; token?: string }>;
  /** Requests for the built-in framework that came before it had subscribed: at the start of a term. */
  readonly early: (() => void)[];
}

const MOST_EARLY = 1_000;
const BY_HAND = 'A window would resume it at its end: say mesq resume first, then when the window is.';

type Body<Name extends OperationName> = v.InferOutput<(typeof OPERATIONS)[Name]['body']>;
type Part<Name extends OperationName> = v.InferInput<(typeof OPERATIONS)[Name]['part']>;
/** Answers with parts or a fault; undefined where a command was proposed and its event will answer. */
type Handler<Name extends OperationName> = (
  desk: OperatorDesk,
  body: Body<Name>,
  asker: Asker,
) => Part<Name>[] | Fault | undefined;

/** A data folder that is not the agent's, by a slip most often, would take the credential of the one that runs. */
function cutOffByJoining({ leader, agents }: OperatorDesk, identity: Identity, hash: string): Fault | undefined {
  const { registry } = leader;
  for (const name of namesRevokedByJoin(registry, identity, hash)) {
    const agent = registry.names.get(name);
    if (agent !== undefined && agents.connected(agent))
      return new Fault(
        'NAME_TAKEN',
        `agent ${name} of this machine is connected, and to join again would cut it off`,
        'Stop it first, or start this one with the data folder that it has; a second agent of a machine has a token of its own: mesq token create --role agent.',
      );
  }
  return undefined;
}

/** Every operation has a handler, or this does not compile. */
const HANDLERS: { readonly [Name in OperationName]: Handler<Name> } = {
  agents: (desk) =>
    cut([...desk.leader.registry.agents.values()].map((agent) => agentView(desk, agent))).map((agents) => ({ agents })),
  masters: (desk) => [{ masters: masterViews(desk) }],
  backup: ({ leader: { registry } }) => {
    const { uuid = '', generation = 0 } = registry.cluster ?? {};
    const head = { cluster: uuid, generation, index: registry.index };
    return piecesOf(snapshotSlices(registry)).map((piece) => ({ ...head, pieces: [piece] }));
  },
  'masters-add': (desk, member, asker) => changeMasters(desk, asker, member.id, { add: member }),
  'masters-remove': (desk, { master }, asker) => changeMasters(desk, asker, master, { remove: master }),
  'masters-transfer': (desk, { master }) => handOver(desk, master),
  frameworks: (desk) => [
    { frameworks: [...desk.leader.registry.frameworks.keys()].map((framework) => frameworkView(desk, framework)) },
  ],
  offers: (desk) => cut(offerViews(desk)).map((offers) => ({ offers })),
  events: (desk) => cut(desk.feed.recent()).map((events) => ({ events })),
  tasks: (desk, { job }) => {
    const live = [...desk.leader.registry.tasks.values()].map((task) => taskView(desk, task));
    const ended = [...desk.leader.registry.finished.values()].map((task) => finishedView(desk, task));
    const wanted = [...ended, ...live].filter((task) => job === undefined || task.job === job);
    return cut(wanted).map((tasks) => ({ tasks }));
  },
  explain: (desk, { resources, ports, constraints, framework, role }) => {
    const parsed = parseConstraints(constraints);
    if (parsed instanceof Fault) return parsed;
    const { reasons, agents, verdict } = explainWaiting(desk, {
      framework,
      role,
      resources,
      ports,
      constraints: parsed,
    });
    // Lists of several parts are joined: what is said once goes first.
    return cut(agents).map((part, at) => ({ verdict, reasons: at === 0 ? [...reasons] : [], agents: part }));
  },
  needs: (desk, { framework }) => {
    const { registry } = desk.leader;
    const record = registry.frameworks.get(framework);
    if (record === undefined)
      return new Fault('NOT_FOUND', `there is no framework ${framework}`, 'mesq frameworks lists them.');
    const session = desk.frameworks.get(framework);
    const needs = (session?.needs ?? []).map(({ name, role, count, resources, ports, constraints }) => ({
      name: name ?? null,
      role: role ?? session?.terms.roles[0] ?? ANY_ROLE,
      count,
      resources: formatResources(resources),
      ports,
      constraints: constraints.map(({ text }) => text),
    }));
    const state = session?.active === true ? ('active' as const) : ('disconnected' as const);
    return cut(needs).map((part) => ({ framework, state, needs: part }));
  },
  read: (desk, body, asker) => {
    const { framework, task, stream, restart, from, until, follow, overBudget } = body;
    return grantReader(desk, body, asker, {
      type: 'READ',
      framework,
      task,
      stream,
      ...(restart === undefined ? {} : { restart }),
      from,
      until,
      follow,
      ...over(overBudget),
    });
  },
  'read-file': (desk, body, asker) => {
    const { framework, task, path, from, until, overBudget } = body;
    return grantReader(desk, body, asker, {
      type: 'READ_FILE',
      framework,
      task,
      path,
      from,
      until,
      ...over(overBudget),
    });
  },
  'blob-missing': (desk, body, asker) => void desk.uploads.missing(body, asker),
  'blob-complete': (desk, body, asker) => void desk.uploads.complete(body, asker),
  exec: (desk, body, asker) => passWord(desk, body, asker),
  'agent-stats': (desk, { agent }, asker) => desk.stats.ask(agent, asker),
  gone: (desk, { agent }, asker) =>
    commit(desk, asker, (request) => ({ kind: 'AGENT_GONE', agent, request, nowMs: desk.leader.wallMs() })),
  roles: (desk) => cut(roleViews(desk)).map((roles) => ({ roles })),
  'weight-set': (desk, { role, weight }, asker) =>
    commit(desk, asker, (request) => ({ kind: 'SET_WEIGHT', role, weight, request })),
  'quota-set': (desk, { role, guarantees, limits, force }, asker) =>
    (force ? undefined : guaranteeProblem(desk.leader.registry, role, guarantees)) ??
    commit(desk, asker, (request) => ({ kind: 'SET_QUOTA', role, quota: { guarantees, limits }, force, request })),
  'quota-remove': (desk, { role }, asker) =>
    commit(desk, asker, (request) => ({ kind: 'SET_QUOTA', role, quota: null, force: true, request })),
  reserve: (desk, { agent, resources }, asker) =>
    commit(desk, asker, (request) => ({ kind: 'RESERVE', agent, resources, request })),
  unreserve: (desk, { agent, resources }, asker) =>
    commit(desk, asker, (request) => ({ kind: 'UNRESERVE', agent, resources, request })),
  drain: (desk, { agent, deadlineMs, inMs, forMs }, asker) => {
    const known = agentNamed(desk.leader.registry, agent);
    const { drain, window: scheduled } = known instanceof Fault ? {} : known;
    const nowMs = desk.leader.wallMs();
    if (inMs === undefined && forMs === undefined) {
      // Otherwise its end would end this drain; it does as long as a master is of a version without the command.
      if (scheduled !== undefined) desk.leader.propose({ kind: 'CALL_OFF_WINDOW', agent });
      return commit(desk, asker, (request) => ({
        kind: 'DRAIN_AGENT',
        agent,
        deadlineMs: nowMs + deadlineMs,
        request,
      }));
    }
    if (drain !== undefined && drain.wish === undefined && scheduled === undefined)
      return new Fault('CONFLICT', `${agent} is drained until somebody resumes it`, BY_HAND);
    const window = { startMs: nowMs + (inMs ?? 0), durationMs: forMs, graceMs: deadlineMs };
    return commit(desk, asker, (request) => ({
      kind: 'SCHEDULE_DRAIN',
      agent,
      window: { ...window, request },
      request,
    }));
  },
  resume: (desk, { agent }, asker) =>
    commit(desk, asker, (request) => ({ kind: 'RESUME_AGENT', agent, overrules: true, request })),
  teardown: (desk, { framework }, asker) =>
    isBuiltIn(framework)
      ? new Fault('NOT_ALLOWED', `the framework ${framework} is built in`, 'mesq cancel stops its jobs.')
      : commit(desk, asker, (request) => ({
          kind: 'REMOVE_FRAMEWORK',
          framework,
          nowMs: desk.leader.wallMs(),
          request,
        })),
  'orphan-kill': ({ leader }, { framework, task }) => {
    const attempts = attemptsOf(leader.registry, framework, task);
    if (!attempts.some((key) => leader.registry.tasks.get(key)?.orphan === true))
      return new Fault(
        'NOT_FOUND',
        `no task ${task} runs unknown to ${framework}`,
        'mesq ps shows the tasks there are.',
      );
    // Repeated or lost, it does no harm: it names one task, and its end is told to whoever looks.
    leader.propose({ kind: 'KILL', framework, tasks: [{ task, graceMs: undefined }] });
    return [{ task }];
  },
  'token-create': (desk, { role, name, uses, forMs }, asker) => {
    const { random, digest } = desk.leader.world;
    const secret = `${role === 'join' ? JOIN_SECRET : ''}${randomWord(random, 32)}`;
    const nowMs = desk.leader.wallMs();
    const joins = { limit: uses, untilMs: forMs === undefined ? undefined : nowMs + forMs };
    return commit(
      desk,
      asker,
      (request) => ({
        kind: 'CREATE_TOKEN',
        token: randomWord(random, 8),
        name,
        role,
        hash: digest.sha256(new TextEncoder().encode(secret)),
        ...(role === 'join' ? { joins } : {}),
        request,
        nowMs,
      }),
      `${name}:${secret}`,
    );
  },
  join: (desk, { name, exact, identity, hash }, asker) =>
    cutOffByJoining(desk, identity, hash) ??
    commit(desk, asker, (request) => ({
      kind: 'JOIN_AGENT',
      by: asker.principal.name,
      name,
      exact,
      identity,
      token: randomWord(desk.leader.world.random, 8),
      hash,
      request,
      nowMs: desk.leader.wallMs(),
    })),
  'token-list': (desk) =>
    cut(
      [...desk.leader.registry.tokens.values()].map(({ token, role, name, createdMs, joins }) => ({
        id: token,
        role,
        name,
        created: createdMs,
        ...(joins === undefined
          ? {}
          : { joins: { used: joins.used, limit: joins.limit ?? null, until: joins.untilMs ?? null } }),
      })),
    ).map((tokens) => ({ tokens })),
  'token-revoke': (desk, { token }, asker) => {
    return commit(desk, asker, (request) => ({ kind: 'REVOKE_TOKEN', token, request }));
  },
};

/** Proposes what a request asks for, once; the answer comes when it is committed. A fault where it cannot be proposed. */
function commit(
  desk: OperatorDesk,
  asker: Asker,
  command: (request: string) => Command,
  token?: string,
): Fault | undefined {
  const request = wait(desk, asker, token);
  if (request === undefined) return undefined;
  const refused = desk.leader.propose(command(request));
  // Whoever repeats it asks anew.
  if (refused !== undefined) desk.waiting.delete(request);
  return refused;
}

/**
 * Request ids are the client's own: two clients may mint the same one. Undefined where this one is on its way to the
 * log already: its outcome answers whoever asked last, and nothing is proposed twice.
 */
function wait(desk: OperatorDesk, { principal, session, request }: Asker, token?: string): string | undefined {
  const key = `${principal.name}/${request}`;
  const before = desk.waiting.get(key);
  if (before !== undefined) {
    desk.waiting.set(key, { ...before, session });
    return undefined;
  }
  desk.waiting.set(key, { client: principal.name, session, ...(token === undefined ? {} : { token }) });
  return key;
}

/** Tells a client what is wrong with a request that cannot be read, where at least its id can be. */
export function refuseRequest(
  { clients }: OperatorDesk,
  client: string,
  session: string,
  payload: Uint8Array,
  fault: Fault,
): void {
  const decoded = decode(payload);
  if (decoded instanceof Fault) return;
  const { request } = (decoded.value ?? {}) as { request?: unknown };
  const id = check(Id, request);
  if (id instanceof Fault) return;
  clients.speaks(client, session, decoded.encoding);
  clients.reply(client, session, { request: id, part: 0, last: true, fault });
}

/** Answers one request of a client; who it is comes from the topic and its credential. */
export function handleRequest(desk: OperatorDesk, speaker: ClientSpeaker, message: Request): void {
  const { name: client, session } = speaker;
  const principal = desk.clients.principal(speaker);
  const { request, op, framework, body } = message;
  const answerWith = (fault: Fault): void =>
    desk.clients.reply(client, session, { request, part: 0, last: true, fault });
  if (principal === undefined) return answerWith(new Fault('NOT_ALLOWED', `the token of ${client} was revoked`));
  if (framework !== undefined) {
    if (principal.role === 'join')
      return answerWith(new Fault('NOT_ALLOWED', `${client} is a join token: no framework hears it`));
    if (framework === 'batch' && !desk.frameworks.active(framework) && desk.early.length < MOST_EARLY) {
      desk.early.push(() => handleRequest(desk, speaker, message));
      return;
    }
    if (!desk.frameworks.active(framework))
      return answerWith(
        new Fault('NOT_FOUND', `framework ${framework} is not connected`, 'mesq frameworks lists them.'),
      );
    desk.frameworks.send(framework, { type: 'REQUEST', request, session, principal, op, body });
    return;
  }
  if (!Object.hasOwn(OPERATIONS, op)) return answerWith(new Fault('UNKNOWN_TYPE', `the leader has no operation ${op}`));
  const result = answer(desk, op as OperationName, body, { principal, session, request });
  if (result instanceof Fault) return answerWith(result);
  result?.forEach((part, at) => {
    desk.clients.reply(client, session, { request, part: at, last: at === result.length - 1, body: part });
  });
}

function answer<Name extends OperationName>(
  desk: OperatorDesk,
  name: Name,
  body: unknown,
  asker: Asker,
): object[] | Fault | undefined {
  const operation = OPERATIONS[name];
  if (!mayAsk(asker.principal, operation.role)) {
    return new Fault(
      'NOT_ALLOWED',
      `${name} needs the role ${operation.role}; ${asker.principal.name} has ${asker.principal.role}`,
    );
  }
  const before = desk.leader.registry.requests.get(`${asker.principal.name}/${asker.request}`);
  if (before !== undefined) return repeated(name, before);
  const parsed = check(operation.body, body);
  return parsed instanceof Fault ? parsed : HANDLERS[name](desk, parsed as Body<Name>, asker);
}

/** Under what name the outcome of a request is told again. */
const ABOUT: Partial<Record<OperationName, 'agent' | 'role' | 'framework'>> = {
  gone: 'agent',
  join: 'agent',
  drain: 'agent',
  resume: 'agent',
  reserve: 'agent',
  unreserve: 'agent',
  'weight-set': 'role',
  'quota-set': 'role',
  'quota-remove': 'role',
  teardown: 'framework',
};

/** A request that was committed before is answered with its outcome; a secret is shown only once. */
function repeated(name: OperationName, outcome: RequestOutcome): object[] | Fault {
  const about = ABOUT[name];
  if (about !== undefined) return [{ [about]: outcome.detail }];
  if (name === 'token-revoke') return [{ revoked: Number(outcome.detail) }];
  return new Fault(
    'EXISTS',
    `token ${outcome.detail} was created by this request, and its secret is shown only once`,
    'Revoke it and create another.',
  );
}

/** What a grant says beyond who reads, and which attempt. */
type Wish<Of> = Of extends unknown ? Omit<Of, 'request' | 'client' | 'session' | 'attempt'> : never;

/** Said only where it is meant: every READ would be longer. */
function over(overBudget: boolean): { overBudget?: true } {
  return overBudget ? { overBudget } : {};
}

function grantReader(
  desk: OperatorDesk,
  body: Body<'read' | 'read-file'>,
  asker: Asker,
  wish: Wish<Grant>,
): Part<'read'>[] | Fault {
  if (body.overBudget && !mayAsk(asker.principal, 'operator'))
    return new Fault('NOT_ALLOWED', "only an operator reads over an agent's budget", 'Wait, or ask an operator.');
  const found = findTask(desk, body);
  if (found instanceof Fault) return found;
  const agent = desk.leader.registry.agents.get(found.agent);
  if (agent === undefined || agent.state !== 'active' || !desk.agents.connected(agent.agent)) {
    return new Fault(
      'UNREACHABLE',
      `the output of ${body.task} is on agent ${agent?.name ?? found.agent}, which does not answer`,
      'It is kept there; repeat when mesq agents shows it active.',
    );
  }
  const { principal, session } = asker;
  const { attempt } = found;
  desk.streams.grant(agent.name, { ...wish, request: body.reader, client: principal.name, session, attempt });
  return [{ attempt: found.attempt, agent: agent.name }];
}

function findTask(
  desk: OperatorDesk,
  { framework, task, attempt }: Body<'read' | 'read-file'>,
): { agent: string; attempt: number } | Fault {
  const { registry } = desk.leader;
  const live = attempt === undefined ? attemptsOf(registry, framework, task).at(-1) : taskKey(framework, task, attempt);
  const record = live === undefined ? undefined : registry.tasks.get(live);
  if (record !== undefined) return { agent: record.agent, attempt: record.info.attempt };
  let newest: { agent: string; attempt: number } | undefined;
  for (const ended of registry.finished.values()) {
    if (ended.framework !== framework || ended.task !== task || (attempt !== undefined && ended.attempt !== attempt))
      continue;
    if (newest === undefined || ended.attempt > newest.attempt) newest = { agent: ended.agent, attempt: ended.attempt };
  }
  return (
    newest ??
    new Fault(
      'NOT_FOUND',
      `task ${task} has not been placed yet, or is forgotten`,
      'mesq ps shows the tasks there are.',
    )
  );
}

/** A batch of commands was applied: whoever waits for a change of the masters in it is answered. */
export function answerChanges(desk: OperatorDesk): void {
  answerCommitted(desk);
}
