import { Fault } from '../protocol/faults.ts';
import { askBatch } from './ask.ts';
import { jobIdOf } from './job-name.ts';
import { jsonOfJob } from './jobs.ts';
import { printJson, printLine } from './output.ts';
import { unknownJob } from './unknown-job.ts';
import type { Verb } from './verb.ts';

/** `mesq cancel JOB`: no task of it starts any more, and those that run are stopped. */
export const cancel: Verb = {
  examples: ['mesq cancel k3v9x2ab'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [text = ''] = command.args;
    const id = await jobIdOf(
      context,
      text,
      (job, task) => `mesq cancel ${job} stops all of them, mesq kill ${task} that one.`,
    );
    if (id instanceof Fault) return id;
    const answer = await askBatch(context, 'cancel', { job: id });
    if (answer instanceof Fault) return answer.code === 'NOT_FOUND' ? unknownJob(context, id) : answer;
    const { job } = answer;
    if (context.options.json) await printJson(context, jsonOfJob(job));
    else if (job.finished === null) await printLine(context, `${id}: ${stopping(job.tasks.running)} being stopped`);
    else await printLine(context, `${id}: ${job.state}`);
    return 0;
  },
};

function stopping(running: number): string {
  return running === 1 ? '1 running task is' : `${running} running tasks are`;
}
