import { parseDuration } from '../protocol/duration.ts';
import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { type CredentialRole, ROLES } from '../protocol/operator.ts';
import { askLeader } from './ask.ts';
import { ago, isoTime, printJson, printLine, printRows } from './output.ts';
import type { Context, Verb } from './verb.ts';

interface TokenOptions {
  readonly role?: string;
  readonly name?: string;
  readonly uses?: string;
  readonly for?: string;
}

/** A join token that nobody thought about is forgotten by itself. */
const JOIN_TIME = '24h';

/** `mesq token create|list|revoke`: who may ask what. */
export const token: Verb = {
  examples: [
    'mesq token create --role agent --name pi-1   # the token is shown once',
    'mesq token create --role join --name roof --uses 20 --for 2h   # for boards: each gets a credential of its own',
    'mesq token list --role viewer',
    'mesq token revoke --name pi-1                # every token of a name',
    'mesq token revoke dmtoqnqy                   # one, by its id',
  ],
  configure: (command) => {
    command
      .argument('<action>', 'create, list or revoke')
      .argument('[id]', "for revoke: a token's id, or a name")
      .option('--role <role>', ROLES.join(', '))
      .option('--name <name>', 'the name that it speaks under')
      .option('--uses <count>', 'of a join token: how many boards may join (default: any number)')
      .option('--for <duration>', `of a join token: how long it is good for (default ${JOIN_TIME})`);
  },
  run: (context, command) => {
    const [action = '', id] = command.args;
    const { role, name, uses, for: duration } = command.opts<TokenOptions>();
    if (role !== undefined && !isRole(role))
      return Promise.resolve(new Fault('BAD_USAGE', `there is no role ${role}`, `Take one of ${ROLES.join(', ')}.`));
    const limited = uses !== undefined || duration !== undefined;
    if (limited && (action !== 'create' || role !== 'join'))
      return Promise.resolve(
        new Fault('BAD_USAGE', '--uses and --for are for join tokens', `Write ${USAGE['create']} with --role join.`),
      );
    if (action === 'create' && id === undefined && role !== undefined && name !== undefined)
      return create(context, role, name, { uses, duration });
    if (action === 'list' && id === undefined) return list(context, role, name);
    if (action === 'revoke' && role === undefined && (id === undefined) !== (name === undefined))
      return revoke(context, id ?? name ?? '');
    return Promise.resolve(
      new Fault(
        'BAD_USAGE',
        USAGE[action] === undefined ? `mesq token does not know ${action}` : wrongWords(action, { id, role, name }),
        `Write ${USAGE[action] ?? Object.values(USAGE).join(', or ')}.`,
      ),
    );
  },
};

function wrongWords(
  action: string,
  { id, role, name }: { id: string | undefined; role: string | undefined; name: string | undefined },
): string {
  if (action === 'create' && id !== undefined) return `mesq token create takes options alone, and not ${id}`;
  if (action === 'create')
    return `${[...(role === undefined ? ['--role'] : []), ...(name === undefined ? ['--name'] : [])].join(' and ')} missing`;
  if (action === 'list') return `mesq token list takes options alone, and not ${id}`;
  return role === undefined
    ? 'the id of a token, or a --name, is what is revoked: one of them'
    : '--role revokes nothing';
}

const USAGE: Readonly<Record<string, string>> = {
  create: 'mesq token create --role ROLE --name NAME',
  list: 'mesq token list',
  revoke: 'mesq token revoke ID',
};

async function create(
  context: Context,
  role: CredentialRole,
  name: string,
  { uses, duration = JOIN_TIME }: { readonly uses: string | undefined; readonly duration: string | undefined },
): Promise<number | Fault> {
  if (uses !== undefined && !/^[1-9]\d*$/.test(uses))
    return new Fault('BAD_USAGE', `--uses ${uses}: a number of boards is expected`, 'Write it like --uses 20.');
  const id = parseId(name, '--name');
  if (id instanceof Fault)
    return new Fault('BAD_USAGE', id.message, 'Write it with A-Z a-z 0-9 . _ -, 64 at most, a letter or digit first.');
  const forMs = parseDuration(duration);
  if (forMs instanceof Fault) return new Fault('BAD_USAGE', `--for: ${forMs.message}`, forMs.hint);
  if (forMs === 0)
    return new Fault('BAD_USAGE', `--for ${duration} is no time at all`, `Write it like --for ${JOIN_TIME}.`);
  const limits = role === 'join' ? { forMs, ...(uses === undefined ? {} : { uses: Number(uses) }) } : {};
  const answer = await askLeader(context, 'token-create', { role, name, ...limits });
  if (answer instanceof Fault) return answer;
  const written = answer.token.includes(':') ? answer.token : `${name}:${answer.token}`;
  if (context.options.json) await printJson(context, { id: answer.id, role, name, token: written });
  else await printLine(context, written);
  return 0;
}

async function list(context: Context, role?: string, name?: string): Promise<number | Fault> {
  const answer = await askLeader(context, 'token-list', {});
  if (answer instanceof Fault) return answer;
  const wanted = answer.tokens.filter(
    (one) => (role === undefined || one.role === role) && (name === undefined || one.name === name),
  );
  const now = context.terminal.clock.wall();
  await printRows(context, wanted, {
    none: 'There is no token.',
    json: ({ joins, ...one }) => ({
      ...one,
      created: isoTime(one.created),
      ...(joins === undefined ? {} : { joins: { ...joins, until: isoTime(joins.until) } }),
    }),
    columns: [
      { title: 'ID', whole: true, value: ({ id }) => id },
      { title: 'ROLE', value: ({ role }) => role },
      { title: 'NAME', whole: true, value: ({ name }) => name },
      { title: 'AGE', spare: 1, value: ({ created }) => ago(created, now), align: 'right' },
      { title: 'JOINED', spare: 2, value: ({ joins }) => joinsText(joins, now) },
    ],
  });
  return 0;
}

/** `3 of 20, expired`; empty for what is no join token. */
function joinsText(
  joins: { readonly used: number; readonly limit: number | null; readonly until: number | null } | undefined,
  now: number,
): string {
  if (joins === undefined) return '';
  const count = joins.limit === null ? `${joins.used}` : `${joins.used} of ${joins.limit}`;
  if (joins.until === null) return count;
  return joins.until <= now ? `${count}, expired` : `${count}, for ${ago(now, joins.until)}`;
}

async function revoke(context: Context, id: string): Promise<number | Fault> {
  const answer = await askLeader(context, 'token-revoke', { token: id });
  if (answer instanceof Fault) return answer;
  if (context.options.json) await printJson(context, answer);
  else await printLine(context, `${answer.revoked} revoked`);
  return 0;
}

function isRole(text: string): text is CredentialRole {
  return (ROLES as readonly string[]).includes(text);
}
