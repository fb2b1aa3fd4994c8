import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { isBrokerUrl } from '../protocol/raft.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine, printRows } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Context, Verb } from './verb.ts';

const USAGE = 'Write mesq masters, mesq masters add ID=URL, mesq masters remove ID or mesq masters transfer ID.';

/** `mesq masters [add|remove|transfer]`: who leads and who follows, and who is to. */
export const masters: Verb = {
  examples: [
    'mesq masters',
    'mesq masters add m4=mqtts://pi-4:8883    # started before with --peer of the others; it votes when it has all',
    'mesq masters remove m1                   # for ever; to replace one, add first',
    'mesq masters transfer m2                 # it leads, and m1 can be stopped without anybody noticing',
  ],
  configure: (command) => {
    command.argument('[action]', 'add, remove or transfer').argument('[master]', 'its id; for add, ID=URL');
  },
  run: (context, command) => {
    const [action, text] = command.args;
    if (action === undefined) return show(context);
    if (action !== 'add' && action !== 'remove' && action !== 'transfer')
      return Promise.resolve(new Fault('BAD_USAGE', `mesq masters does not know ${action}`, USAGE));
    return change(context, action, text ?? '');
  },
};

async function change(context: Context, action: 'add' | 'remove' | 'transfer', text: string): Promise<number | Fault> {
  const [, word = '', url] = /^([^=]*)=?(.*)$/.exec(text) ?? [];
  if (word === '') return new Fault('BAD_USAGE', `mesq masters ${action} takes the id of a master`, USAGE);
  const id = parseId(word, 'the master');
  if (id instanceof Fault) return new Fault('BAD_USAGE', id.message, USAGE);
  if (action === 'add' && (url === undefined || !isBrokerUrl(url)))
    return new Fault(
      'BAD_USAGE',
      `${text} does not say where the broker of the master is`,
      'Write it like m4=mqtts://pi-4:8883.',
    );
  if (action !== 'add' && url !== '') return new Fault('BAD_USAGE', `mesq masters ${action} takes the id alone`, USAGE);
  if (action === 'remove') {
    const known = await askLeader(context, 'masters', {});
    if (known instanceof Fault) return known;
    if (!known.masters.some((master) => master.id === id))
      return new Fault('NOT_FOUND', `there is no master ${id}`, 'List what there is with mesq masters.');
  }
  const answer =
    action === 'add'
      ? await askLeader(context, 'masters-add', { id, urls: [url ?? ''] })
      : await askLeader(context, `masters-${action}`, { master: id });
  if (answer instanceof Fault) return answer;
  const done = {
    add: 'is a master; it votes once it has all',
    remove: 'is no master any more',
    transfer: 'is to lead',
  };
  if (context.options.json) await printJson(context, answer);
  else await printLine(context, `${id} ${done[action]}`);
  return 0;
}

async function show(context: Context): Promise<number | Fault> {
  const answer = await askLeader(context, 'masters', {});
  if (answer instanceof Fault) return answer;
  await printRows(context, answer.masters, {
    none: 'There is no master.',
    json: (master) => master,
    columns: [
      { title: 'ID', value: ({ id }) => id },
      {
        title: 'ROLE',
        value: ({ role, voter }) => (voter ? role : `${role}, learning`),
        colour: ({ role }) => stateColour(role),
      },
      { title: 'TERM', value: ({ term }) => term, align: 'right' },
      { title: 'COMMITTED', value: ({ commitIndex }) => commitIndex, align: 'right' },
      { title: 'VERSION', value: ({ version }) => version || '-' },
      { title: 'URL', value: ({ url }) => url },
    ],
  });
  return 0;
}
