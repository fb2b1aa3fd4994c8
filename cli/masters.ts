import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printRows } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Verb } from './verb.ts';

/** `mesq masters`: who leads, and who follows. */
export const masters: Verb = {
  examples: ['mesq masters'],
  configure: () => {},
  run: async (context) => {
    const answer = await askLeader(context, 'masters', {});
    if (answer instanceof Fault) return answer;
    await printRows(context, answer.masters, {
      none: 'There is no master.',
      json: (master) => master,
      columns: [
        { title: 'ID', value: ({ id }) => id },
        { title: 'ROLE', value: ({ role }) => role, colour: ({ role }) => stateColour(role) },
        { title: 'TERM', value: ({ term }) => term, align: 'right' },
        { title: 'COMMITTED', value: ({ commitIndex }) => commitIndex, align: 'right' },
        { title: 'VERSION', value: ({ version }) => version },
        { title: 'URL', value: ({ url }) => url },
      ],
    });
    return 0;
  },
};
