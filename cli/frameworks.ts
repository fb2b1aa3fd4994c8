import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printRows } from './output.ts';
import { stateColour } from './state-colour.ts';
import type { Verb } from './verb.ts';

/** `mesq frameworks`: who schedules tasks here. */
export const frameworks: Verb = {
  examples: ['mesq frameworks'],
  configure: () => {},
  run: async (context) => {
    const answer = await askLeader(context, 'frameworks', {});
    if (answer instanceof Fault) return answer;
    await printRows(context, answer.frameworks, {
      none: 'No framework has subscribed.',
      json: (framework) => framework,
      columns: [
        { title: 'NAME', whole: true, value: ({ name }) => name },
        { title: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
        { title: 'ROLES', value: ({ roles }) => roles.join(',') || '-' },
        { title: 'TASKS', value: ({ tasks }) => tasks, align: 'right' },
        { title: 'ALLOCATED', value: ({ allocated }) => allocated || '-' },
        { title: 'OFFERED', value: ({ offered }) => offered || '-' },
      ],
    });
    return 0;
  },
};
