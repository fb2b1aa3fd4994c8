import { Fault } from '../protocol/faults.ts';
import { askBatch, askLeader, BATCH } from './ask.ts';
import { askForJob } from './job-name.ts';
import { noSuchIndex } from './missing-task.ts';
import { printJson, printLine } from './output.ts';
import { jsonOfTask } from './task-list.ts';
import { readTaskName } from './task-name.ts';
import type { Context, Verb } from './verb.ts';

/** `mesq kill TASK`: stops it for good: SIGTERM, and SIGKILL after its grace period. */
export const kill: Verb = {
  examples: ['mesq kill k3v9x2ab.4'],
  configure: (command) => {
    command.argument('<task>', 'job.index, or the job of an only task');
  },
  run: async (context, command) => {
    const name = readTaskName(command.args[0] ?? '');
    if (name instanceof Fault) return name;
    const { job, index } = name;
    if (!/\.\d+$/.test(command.args[0] ?? '')) {
      const found = await askForJob(context, job);
      if (found instanceof Fault) return found;
      const { count } = found.spec;
      if (count > 1)
        return new Fault(
          'BAD_USAGE',
          `job ${job} has ${count} tasks`,
          `Write mesq kill ${job}.INDEX for one of them, or mesq cancel ${job} for all.`,
        );
    }
    const answer = await askBatch(context, 'kill', { job, index });
    if (answer instanceof Fault && answer.code === 'NOT_FOUND') return killOrphan(context, job, index);
    if (answer instanceof Fault) return answer;
    const { task } = answer;
    if (context.options.json) await printJson(context, jsonOfTask(task));
    else await printLine(context, `${task.id}: ${task.state}`);
    return 0;
  },
};

/** A task of a job that a restored backup has forgotten. */
async function killOrphan(context: Context, job: string, index: number): Promise<number | Fault> {
  const task = `${job}.${index}`;
  const answer = await askLeader(context, 'orphan-kill', { framework: BATCH, task });
  if (answer instanceof Fault) {
    if (answer.code !== 'NOT_FOUND') return answer;
    const known = await askForJob(context, job);
    return known instanceof Fault ? known : noSuchIndex(job, index, known.spec.count);
  }
  if (context.options.json) await printJson(context, answer);
  else await printLine(context, `${task}, which nobody knew any more, is being killed`);
  return 0;
}
