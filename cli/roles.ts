import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printRows } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq roles`: who shares the cluster, with what weight and quota, and what each holds. */
export const roles: Verb = {
  examples: ['mesq roles'],
  configure: () => {},
  run: async (context) => {
    const answer = await askLeader(context, 'roles', {});
    if (answer instanceof Fault) return answer;
    await printRows(context, answer.roles, {
      none: 'No framework has a role yet.',
      json: (role) => role,
      columns: [
        { title: 'ROLE', whole: true, value: ({ role }) => role },
        { title: 'WEIGHT', value: ({ weight }) => weight, align: 'right' },
        { title: 'SHARE', value: ({ share }) => `${(100 * share).toFixed(1)}%`, align: 'right' },
        { title: 'FRAMEWORKS', value: ({ frameworks }) => frameworks.join(',') || '-' },
        { title: 'HOLDS', value: ({ allocated }) => allocated || '-' },
        { title: 'RESERVED', value: ({ reserved }) => reserved || '-' },
        { title: 'GUARANTEE', value: ({ quota }) => quota?.guarantees || '-' },
        { title: 'LIMIT', value: ({ quota }) => quota?.limits || '-' },
      ],
    });
    return 0;
  },
};
