import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { ago, isoTime, printRows } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq offers`: what is offered to whom at the moment. */
export const offers: Verb = {
  examples: ['mesq offers'],
  configure: () => {},
  run: async (context) => {
    const answer = await askLeader(context, 'offers', {});
    if (answer instanceof Fault) return answer;
    const now = context.terminal.clock.wall();
    await printRows(context, answer.offers, {
      none: 'Nothing is on offer.',
      json: (offer) => ({ ...offer, created: isoTime(offer.created) }),
      columns: [
        { title: 'ID', whole: true, value: ({ id }) => id },
        { title: 'FRAMEWORK', whole: true, value: ({ framework }) => framework },
        { title: 'ROLE', value: ({ role }) => role },
        { title: 'AGENT', whole: true, value: ({ agent }) => agent },
        { title: 'AGE', value: ({ created }) => ago(created, now), align: 'right' },
        { title: 'RESOURCES', value: ({ resources }) => resources },
      ],
    });
    return 0;
  },
};
