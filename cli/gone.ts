import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq gone AGENT`: it will never come back; its tasks are lost, and its name is free again. */
export const gone: Verb = {
  examples: ['mesq gone pi-3            # its SD card died'],
  configure: (command) => {
    command.argument('<agent>', 'name or id of the agent');
  },
  run: async (context, command) => {
    const [agent = ''] = command.args;
    const answer = await askLeader(context, 'gone', { agent });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else await printLine(context, `${agent} is gone for ever; its tasks are TASK_GONE_BY_OPERATOR`);
    return 0;
  },
};
