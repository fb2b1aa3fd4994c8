import { Fault } from '../protocol/faults.ts';
import { type CredentialRole, ROLES } from '../protocol/operator.ts';
import { askLeader } from './ask.ts';
import { ago, isoTime, printJson, printLine, printRows } from './output.ts';
import type { Context, Verb } from './verb.ts';

/** `mesq token create|list|revoke`: who may ask what. */
export const token: Verb = {
  examples: [
    'mesq token create agent pi-1       # the token is shown once',
    'mesq token list',
    'mesq token revoke pi-1             # every token of a name, or one by its id',
  ],
  configure: (command) => {
    command
      .argument('<action>', 'create, list or revoke')
      .argument(
        '[words...]',
        `for create: a role (${ROLES.join(', ')}) and a name; for revoke: a token's id, or a name`,
      );
  },
  run: (context, command) => {
    const [action = '', ...words] = command.args;
    const [first, second] = words;
    if (action === 'create' && first !== undefined && second !== undefined && words.length === 2)
      return create(context, first, second);
    if (action === 'list' && words.length === 0) return list(context);
    if (action === 'revoke' && first !== undefined && words.length === 1) return revoke(context, first);
    return Promise.resolve(
      new Fault(
        'BAD_USAGE',
        `mesq token does not take ${[action, ...words].join(' ')}`,
        'Write mesq token create ROLE NAME, mesq token list, or mesq token revoke ID.',
      ),
    );
  },
};

async function create(context: Context, role: string, name: string): Promise<number | Fault> {
  if (!isRole(role)) return new Fault('BAD_USAGE', `there is no role ${role}`, `Take one of ${ROLES.join(', ')}.`);
  const answer = await askLeader(context, 'token-create', { role, name });
  if (answer instanceof Fault) return answer;
  const written = answer.token.includes(':') ? answer.token : `${name}:${answer.token}`;
  if (context.options.json) await printJson(context, { id: answer.id, role, name, token: written });
  else await printLine(context, written);
  return 0;
}

async function list(context: Context): Promise<number | Fault> {
  const answer = await askLeader(context, 'token-list', {});
  if (answer instanceof Fault) return answer;
  const now = context.terminal.clock.wall();
  await printRows(context, answer.tokens, {
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
