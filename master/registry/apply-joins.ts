import { type Identity, isOtherMachine } from '../../protocol/agent-link.ts';
import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isBuiltIn } from '../../protocol/scheduler.ts';
import { tooManyTokens } from './apply-tokens.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import type { AgentRecord, Registry, TokenRecord } from './registry.ts';
import { remember } from './requests.ts';

type Join = Extract<Command, { kind: 'JOIN_AGENT' }>;

/**
 * A board gets a credential of its own for a join token: a name, and the hash of a secret that it made itself, bound to
 * its hardware. The same hardware may ask again: it keeps its name, unless it names another, and what it had is revoked.
 */
export function applyJoin(registry: Registry, command: Join): RegistryEvent[] {
  const { by, identity, token, hash, request, nowMs } = command;
  if (registry.requests.has(request)) return [];
  const refused = (fault: Fault): RegistryEvent[] => [{ kind: 'REQUEST_REFUSED', request, fault }];
  const pass = [...registry.tokens.values()].find(({ name, role }) => name === by && role === 'join');
  if (pass?.joins === undefined) return refused(new Fault('NOT_ALLOWED', `there is no join token ${by} any more`));
  const own = [...registry.tokens.values()].filter(({ bound }) => bound !== undefined && isSame(bound, identity));
  const again = own.find((known) => known.hash === hash);
  if (again !== undefined) {
    // The answer was lost, and it asks with another request.
    remember(registry, { request, ok: true, detail: again.name });
    return [{ kind: 'AGENT_JOINED', name: again.name, revoked: [], request }];
  }
  const { limit, used, untilMs } = pass.joins;
  if (untilMs !== undefined && nowMs >= untilMs)
    return refused(new Fault('NOT_ALLOWED', `the join token ${by} has expired`, ANOTHER));
  // Who joined before is not counted again.
  if (own.length === 0 && limit !== undefined && used >= limit)
    return refused(new Fault('NOT_ALLOWED', `${used} boards have joined with ${by}, as many as may`, ANOTHER));
  const name = nameFor(registry, command, own);
  if (name instanceof Fault) return refused(name);
  const replaced = [...registry.tokens.values()].filter(
    (known) => own.includes(known) || (known.name === name && known.bound !== undefined),
  );
  if (registry.tokens.size - replaced.length >= LIMITS.tokens) return refused(tooManyTokens());
  for (const known of replaced) registry.tokens.delete(known.token);
  registry.tokens.set(token, { token, name, role: 'agent', hash, createdMs: nowMs, bound: identity });
  if (own.length === 0) registry.tokens.set(pass.token, { ...pass, joins: { ...pass.joins, used: used + 1 } });
  remember(registry, { request, ok: true, detail: name });
  const revoked = [...new Set(replaced.map((known) => known.name))];
  return [{ kind: 'AGENT_JOINED', name, revoked, request }];
}

/** Whose credentials a join of that hardware revokes; none where it only asks again, with the secret it has. */
export function namesRevokedByJoin(registry: Registry, identity: Identity, hash: string): ReadonlySet<string> {
  const own = [...registry.tokens.values()].filter(({ bound }) => bound !== undefined && isSame(bound, identity));
  return new Set(own.some((known) => known.hash === hash) ? [] : own.map(({ name }) => name));
}

const ANOTHER = 'Ask an operator for another: mesq token create --role join --name NAME.';

/** The name it asks for, its former one, or the next that is free. */
function nameFor(registry: Registry, { name, exact, identity }: Join, own: readonly TokenRecord[]): string | Fault {
  if (!exact && own[0] !== undefined) return own[0].name;
  const stem = name.slice(0, 58);
  const taken = namesTaken(registry, stem, identity);
  const isFree = (candidate: string): boolean => !taken.has(candidate) && !isBuiltIn(candidate);
  if (isFree(name)) return name;
  let number = 2;
  while (!isFree(`${stem}-${number}`)) number++;
  const free = `${stem}-${number}`;
  if (!exact) return free;
  return new Fault(
    'NAME_TAKEN',
    `the name ${name} belongs to another agent or token`,
    `Take another --name (${free} is free), or declare the other one gone: mesq gone ${name}`,
  );
}

/**
 * The names that begin with `stem` and are somebody else's: a token that is not bound to this hardware keeps a name,
 * unless its agent was declared gone. One walk for all of them: a thousand boards may be called `raspberrypi`.
 */
function namesTaken(registry: Registry, stem: string, identity: Identity): ReadonlySet<string> {
  const taken = new Set<string>();
  const gone = new Map<string, AgentRecord[]>();
  for (const agent of registry.agents.values()) {
    if (!agent.name.startsWith(stem)) continue;
    if (agent.state === 'gone') gone.set(agent.name, [...(gone.get(agent.name) ?? []), agent]);
    else if (!isSame(agent, identity)) taken.add(agent.name);
  }
  for (const { name, bound } of registry.tokens.values()) {
    if (!name.startsWith(stem)) continue;
    if (bound === undefined) taken.add(name);
    else if (!isSame(bound, identity)) {
      const wasDeclaredGone = gone.get(name)?.some((agent) => isSame(agent, bound)) ?? false;
      if (!wasDeclaredGone || registry.names.has(name)) taken.add(name);
    }
  }
  return taken;
}

/** Shown to be the same: something is, and nothing is not. */
function isSame(known: Identity, now: Identity): boolean {
  const shown = (left: string, right: string): boolean => left !== '' && left === right;
  return !isOtherMachine(known, now) && (shown(known.machine, now.machine) || shown(known.serial, now.serial));
}

/**
 * Whether an agent may register under a name that a join gave to certain hardware. Another token of the name, made by
 * an operator, is bound to none.
 */
export function isBoundToOther(registry: Registry, name: string, identity: Identity): boolean {
  const tokens = [...registry.tokens.values()].filter((known) => known.name === name);
  return tokens.length > 0 && tokens.every(({ bound }) => bound !== undefined && isOtherMachine(bound, identity));
}
