import { Fault } from '../protocol/faults.ts';
import { type CredentialRole, ROLES } from '../protocol/operator.ts';
import { askLeader } from './ask.ts';
import { ago, isoTime, printJson, printLine, printRows } from './output.ts';
import type { Context, Verb } from './verb.ts';

interface TokenOptions {
  readonly role?: string;
  readonly name?: string;
}

/** `mesq token create|list|revoke`: who may ask what. */
export const token: Verb = {
  examples: [
    'mesq token create --role agent --name pi-1   # the token is shown once',
    'mesq token list --role viewer',
    'mesq token revoke --name pi-1                # every token of a name',
    'mesq token revoke dmtoqnqy                   # one, by its id',
  ],
  configure: (command) => {
    command
      .argument('<action>', 'create, list or revoke')
      .argument('[id]', "for revoke: a token's id, or a name")
      .option('--role <role>', ROLES.join(', '))
      .option('--name <name>', 'the name that it speaks under');
  },
  run: (context, command) => {
    const [action = '', id] = command.args;
    const { role, name } = command.opts<TokenOptions>();
    if (role !== undefined && !isRole(role))
      return Promise.resolve(new Fault('BAD_USAGE', `there is no role ${role}`, `Take one of ${ROLES.join(', ')}.`));
    if (action === 'create' && id === undefined && role !== undefined && name !== undefined)
      return create(context, role, name);
    if (action === 'list' && id === undefined) return list(context, role, name);
    if (action === 'revoke' && role === undefined && (id === undefined) !== (name === undefined))
      return revoke(context, id ?? name ?? '');
    return Promise.resolve(
      new Fault(
        'BAD_USAGE',
        USAGE[action] === undefined ? `mesq token does not know ${action}` : `mesq token ${action} takes other words`,
        `Write ${USAGE[action] ?? Object.values(USAGE).join(', or ')}.`,
      ),
    );
  },
};

const USAGE: Readonly<Record<string, string>> = {
  create: 'mesq token create --role ROLE --name NAME',
  list: 'mesq token list',
  revoke: 'mesq token revoke ID',
};

async function create(context: Context, role: CredentialRole, name: string): Promise<number | Fault> {
  const answer = await askLeader(context, 'token-create', { role, name });
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
    json: (one) => ({ ...one, created: isoTime(one.created) }),
    columns: [
      { title: 'ID', value: ({ id }) => id },
      { title: 'ROLE', value: ({ role }) => role },
      { title: 'NAME', value: ({ name }) => name },
      { title: 'AGE', value: ({ created }) => ago(created, now), align: 'right' },
    ],
  });
  return 0;
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
