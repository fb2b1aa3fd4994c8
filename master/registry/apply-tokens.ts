import { Fault } from '../../protocol/faults.ts';
import { LIMITS } from '../../protocol/limits.ts';
import { isBuiltIn } from '../../protocol/scheduler.ts';
import type { Command } from './commands.ts';
import type { RegistryEvent } from './events.ts';
import type { Registry, TokenRecord } from './registry.ts';
import { remember } from './requests.ts';

/** A name has one role, whatever the number of its tokens: topics carry the name alone. */
export function applyCreateToken(
  registry: Registry,
  command: Extract<Command, { kind: 'CREATE_TOKEN' }>,
): RegistryEvent[] {
  const { token, name, role, hash, joins, request, nowMs } = command;
  if (registry.requests.has(request)) return [];
  if (role === 'framework' && isBuiltIn(name)) {
    const fault = new Fault('NAME_TAKEN', `the framework ${name} is built in`, 'Take another name.');
    return [{ kind: 'REQUEST_REFUSED', request, fault }];
  }
  const other = [...registry.tokens.values()].find((known) => known.name === name && known.role !== role);
  if (other !== undefined) {
    const fault = new Fault(
      'EXISTS',
      `the name ${name} has the role ${other.role}`,
      'Take another name, or revoke the tokens of that one first.',
    );
    return [{ kind: 'REQUEST_REFUSED', request, fault }];
  }
  // Its uses are counted, and a request shows the name alone.
  if (role === 'join' && [...registry.tokens.values()].some((known) => known.name === name)) {
    const fault = new Fault('EXISTS', `there is a join token ${name}`, 'Take another name, or revoke that one first.');
    return [{ kind: 'REQUEST_REFUSED', request, fault }];
  }
  if (registry.tokens.size >= LIMITS.tokens) return [{ kind: 'REQUEST_REFUSED', request, fault: tooManyTokens() }];
  const record: TokenRecord = {
    token,
    name,
    role,
    hash,
    createdMs: nowMs,
    ...(role === 'join' ? { joins: { used: 0, limit: joins?.limit, untilMs: joins?.untilMs } } : {}),
  };
  registry.tokens.set(token, record);
  remember(registry, { request, ok: true, detail: token });
  return [{ kind: 'TOKEN_CREATED', token: record, request }];
}

export function tooManyTokens(): Fault {
  return new Fault('LIMIT', `there are ${LIMITS.tokens} tokens already`);
}

/** `token` is a token's id, or a name: then all of its tokens go. */
export function applyRevokeToken(
  registry: Registry,
  command: Extract<Command, { kind: 'REVOKE_TOKEN' }>,
): RegistryEvent[] {
  if (registry.requests.has(command.request)) return [];
  const revoked = [...registry.tokens.values()].filter(
    ({ token, name }) => token === command.token || name === command.token,
  );
  if (revoked.length === 0) {
    const fault = new Fault(
      'NOT_FOUND',
      `there is no token and no name ${command.token}`,
      'mesq token list shows them.',
    );
    return [{ kind: 'REQUEST_REFUSED', request: command.request, fault }];
  }
  for (const { token } of revoked) registry.tokens.delete(token);
  remember(registry, { request: command.request, ok: true, detail: String(revoked.length) });
  return [{ kind: 'TOKENS_REVOKED', names: revoked.map(({ name }) => name), request: command.request }];
}
