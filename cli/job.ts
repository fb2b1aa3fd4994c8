import { Fault } from '../protocol/faults.ts';
import { parseTaskName } from '../protocol/job.ts';
import { formatResources } from '../protocol/resources.ts';
import { describeJob } from './job-description.ts';
import { askForJob, noJob } from './job-name.ts';
import { jsonOfJob } from './jobs.ts';
import { printJson } from './output.ts';
import { printable } from './printable.ts';
import { listTasks } from './ps.ts';
import { formatTable } from './table.ts';
import { jsonOfTask, taskColumns } from './task-list.ts';
import type { Verb } from './verb.ts';

/** `mesq job ID`: one job, what it asks for, and its tasks. */
export const job: Verb = {
  examples: ['mesq job k3v9x2ab'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [text = ''] = command.args;
    const name = parseTaskName(text);
    if (name === undefined) return noJob(text);
    const { job: id } = name;
    const [answer, tasks] = await Promise.all([askForJob(context, id), listTasks(context, id)]);
    if (answer instanceof Fault) return answer;
    if (tasks instanceof Fault) return tasks;
    const { terminal, options } = context;
    if (options.json) {
      const spec = { ...answer.spec, resources: formatResources(answer.spec.resources) };
      await printJson(context, { ...jsonOfJob(answer.job), spec, list: tasks.map(jsonOfTask) });
      return 0;
    }
    await terminal.out.write(`${describeJob(answer.job, answer.spec).map(printable).join('\n')}\n\n`);
    await terminal.out.write(formatTable(tasks, taskColumns(terminal.clock.wall()), terminal.out));
    return 0;
  },
};
