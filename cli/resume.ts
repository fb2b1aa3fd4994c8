import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq resume AGENT`: it takes tasks again after a drain. */
export const resume: Verb = {
  examples: ['mesq resume pi-3'],
  configure: (command) => {
    command.argument('<agent>', 'name or id of the agent');
  },
  run: async (context, command) => {
    const [agent = ''] = command.args;
    const answer = await askLeader(context, 'resume', { agent });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else await printLine(context, `${agent} takes tasks again`);
    return 0;
  },
};
