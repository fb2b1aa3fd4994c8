import { Fault } from '../protocol/faults.ts';
import { askBatch } from './ask.ts';
import { jsonOfJob } from './jobs.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq cancel JOB`: no task of it starts any more, and those that run are stopped. */
export const cancel: Verb = {
  examples: ['mesq cancel k3v9x2ab'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [id = ''] = command.args;
    const answer = await askBatch(context, 'cancel', { job: id });
    if (answer instanceof Fault) return answer;
    const { job } = answer;
    if (context.options.json) await printJson(context, jsonOfJob(job));
    else if (job.finished === null)
      await printLine(context, `${id}: ${job.tasks.running} running tasks are being stopped`);
    else await printLine(context, `${id}: ${job.state}`);
    return 0;
  },
};
