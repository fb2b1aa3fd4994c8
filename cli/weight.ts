import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq weight set ROLE N`: how much of the cluster a role may hold beside its siblings. */
export const weight: Verb = {
  examples: ['mesq weight set vision 2        # twice as much as a role of weight 1', 'mesq weight set dept/team 0.5'],
  configure: (command) => {
    command
      .argument('<action>', 'set')
      .argument('<role>', 'a role, or a node of the tree above some')
      .argument('<weight>', 'from 0.001 to 1000000; 1 is what all begin with');
  },
  run: async (context, command) => {
    const [action = '', role = '', text = ''] = command.args;
    if (action !== 'set')
      return new Fault('BAD_USAGE', `mesq weight does not know ${action}`, 'Write mesq weight set ROLE N.');
    if (!/^\d{1,7}(\.\d{1,3})?$/.test(text) || Number(text) <= 0 || Number(text) > 1_000_000)
      return new Fault('BAD_USAGE', `${JSON.stringify(text)} is no weight`, 'Take a number from 0.001 to 1000000.');
    const answer = await askLeader(context, 'weight-set', { role, weight: Number(text) });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else await printLine(context, `role ${role} has the weight ${text}`);
    return 0;
  },
};
