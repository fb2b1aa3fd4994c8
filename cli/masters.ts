import { check, decode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { type MasterView, ShownMaster } from '../protocol/operator.ts';
import { isBrokerUrl } from '../protocol/raft.ts';
import { topicOf } from '../protocol/topics.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine, printRows } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Connection } from './terminal.ts';
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
    add: 'is a master; it votes once it is reached and has all',
    remove: 'is no master any more',
    transfer: 'is to lead',
  };
  if (context.options.json) await printJson(context, answer);
  else await printLine(context, `${id} ${done[action]}`);
  return 0;
}

/**
 * What brokers show of the masters, from now on: one that is reached says at once what it retains, and by the time that
 * nobody is known to lead, the client may have turned to one that says nothing.
 */
function lookAtMasters({ options }: Context, { bus }: Connection): () => ShownMaster[] {
  const masters = new Map<string, ShownMaster>();
  const look = ({ payload }: { readonly payload: Uint8Array }): void => {
    const shown = readShown(payload);
    if (shown !== undefined) masters.set(shown.id, shown);
  };
  bus.subscribe(topicOf(options.prefix, { kind: 'state', rest: 'masters/+' }), 0, look).catch(() => {});
  return () => [...masters.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function readShown(payload: Uint8Array): ShownMaster | undefined {
  const decoded = decode(payload);
  const shown = decoded instanceof Fault ? decoded : check(ShownMaster, decoded.value);
  return shown instanceof Fault ? undefined : shown;
}

async function showLeaderless(context: Context, rows: readonly ShownMaster[], fault: Fault): Promise<Fault> {
  if (rows.length > 0)
    await printRows(context, rows, {
      none: '',
      json: (master) => master,
      columns: [
        { title: 'ID', whole: true, value: ({ id }) => id },
        { title: 'ROLE', value: ({ role }) => role, colour: ({ role }) => stateColour(role) },
        { title: 'TERM', spare: 2, value: ({ term }) => term, align: 'right' },
        { title: 'VERSION', spare: 3, value: ({ version }) => version || '-' },
        { title: 'URL', whole: true, value: ({ url }) => url },
      ],
    });
  return fault;
}

async function show(context: Context): Promise<number | Fault> {
  const connection = await context.connect();
  if (connection instanceof Fault) return connection;
  const shown = lookAtMasters(context, connection);
  const answer = await connection.client.request('masters', {}, { timeoutMs: context.answerMs() });
  if (answer instanceof Fault) return answer.code === 'NO_LEADER' ? showLeaderless(context, shown(), answer) : answer;
  await printRows(context, answer.masters, {
    none: 'There is no master.',
    json: (master) => master,
    columns: [
      { title: 'ID', whole: true, value: ({ id }) => id },
      {
        title: 'ROLE',
        value: ({ role, voter }) => (voter ? role : `${role}, learning`),
        colour: ({ role }) => stateColour(role),
      },
      { title: 'TERM', spare: 2, value: heard(({ term }) => term), align: 'right' },
      { title: 'COMMITTED', spare: 1, value: heard(({ commitIndex }) => commitIndex), align: 'right' },
      { title: 'VERSION', spare: 3, value: ({ version }) => version || '-' },
      { title: 'URL', whole: true, value: ({ url }) => url },
    ],
  });
  return 0;
}

/** Of a master that cannot be reached nothing is known but where it should be. */
function heard(value: (master: MasterView) => number): (master: MasterView) => number | string {
  return (master) => (master.role === 'unreachable' ? '-' : value(master));
}
