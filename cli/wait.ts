import { Fault } from '../protocol/faults.ts';
import type { JobView, TaskView } from '../protocol/job.ts';
import { askBatch, BATCH } from './ask.ts';
import { EXIT, exitCodeOfAll, TASK_EXITS } from './exit-codes.ts';
import { findJob } from './job-name.ts';
import { jsonOfJob } from './jobs.ts';
import { notice, printJson } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq wait JOB`: until it has ended; exits with the highest code of its tasks. */
export const wait: Verb = {
  faultExit: EXIT.cluster,
  exits: { ...TASK_EXITS, 130: 'Ctrl-C: the job goes on' },
  examples: ['mesq wait k3v9x2ab && echo done'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [text = ''] = command.args;
    const known = await findJob(
      context,
      text,
      (job, task) => `mesq wait ${job} waits for all of them, mesq logs -f ${task} for that one.`,
    );
    if (known instanceof Fault) return known;
    const job = known.spec.job;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const tasks = new Map<number, TaskView>();
    let last: JobView | undefined;
    const interrupted = new Promise<'interrupted'>((resolve) => {
      context.terminal.onSignal('SIGINT', () => resolve('interrupted'));
    });
    const watching = async (): Promise<Fault | undefined> => {
      const parts = connection.client.watch(job, { framework: BATCH, timeoutMs: context.answerMs() });
      for await (const part of parts) {
        if (part instanceof Fault) return part;
        last = part.job;
        for (const task of part.changed) tasks.set(task.index, task);
      }
      return undefined;
    };
    const fault = await Promise.race([watching(), interrupted]);
    if (fault === 'interrupted') return EXIT.interrupted;
    if (fault !== undefined) return fault;
    if (last === undefined) return new Fault('NO_LEADER', `job ${job} was not told of`);
    // A large array's first part holds only so many of the tasks that had ended before.
    if (tasks.size < last.tasks.total) {
      const all = await askBatch(context, 'tasks', { job });
      if (all instanceof Fault) return all;
      for (const task of all.tasks) tasks.set(task.index, task);
    }
    if (context.options.json) await printJson(context, jsonOfJob(last));
    else await notice(context, `${job}: ${last.state}`);
    return exitCodeOfAll(tasks.values());
  },
};
