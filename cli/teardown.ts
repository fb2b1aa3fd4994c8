import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq teardown FRAMEWORK`: kills all its tasks and forgets it. */
export const teardown: Verb = {
  examples: ['mesq teardown spark', 'mesq frameworks            # who there is'],
  configure: (command) => {
    command.argument('<framework>', 'its name');
  },
  run: async (context, command) => {
    const [framework = ''] = command.args;
    const answer = await askLeader(context, 'teardown', { framework });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else await printLine(context, `framework ${framework} is forgotten, and its tasks are being killed`);
    return 0;
  },
};
