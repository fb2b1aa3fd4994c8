import { parseDuration } from '../protocol/duration.ts';
import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq drain AGENT`: no more tasks; those that run end, at the deadline at the latest. */
export const drain: Verb = {
  examples: [
    'mesq drain pi-3 --deadline 10m    # what runs has ten minutes to end by itself',
    'mesq drain pi-3                   # now; each task has its own grace',
    'mesq agents                       # draining, then drained',
    'mesq resume pi-3',
  ],
  configure: (command) => {
    command
      .argument('<agent>', 'name or id of the agent')
      .option('--deadline <duration>', 'until tasks that still run are killed (default: now)');
  },
  run: async (context, command) => {
    const [agent = ''] = command.args;
    const { deadline } = command.opts<{ readonly deadline?: string }>();
    const deadlineMs = deadline === undefined ? 0 : parseDuration(deadline);
    if (deadlineMs instanceof Fault)
      return new Fault('BAD_USAGE', `--deadline: ${deadlineMs.message}`, deadlineMs.hint);
    const answer = await askLeader(context, 'drain', { agent, deadlineMs });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else
      await printLine(
        context,
        `${agent} gets no more tasks; ${deadline === undefined ? 'those that run are being killed' : `those that still run in ${deadline} are killed`}`,
      );
    return 0;
  },
};
