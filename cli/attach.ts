import { Fault } from '../protocol/faults.ts';
import { EXIT, TASK_EXITS } from './exit-codes.ts';
import { followJob } from './follow.ts';
import { findJob } from './job-name.ts';
import type { Verb } from './verb.ts';

/** `mesq attach JOB`: as `mesq run` would, had it not been left: its output from the beginning, exits as it exits. */
export const attach: Verb = {
  faultExit: EXIT.cluster,
  exits: {
    ...TASK_EXITS,
    129: 'the terminal was lost: the job goes on',
    130: 'Ctrl-C: the job goes on',
    141: 'nobody reads standard output any more: the job goes on',
  },
  examples: ['mesq attach k3v9x2ab                # Ctrl-C leaves it, and it goes on'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [text = ''] = command.args;
    const known = await findJob(
      context,
      text,
      (job, task) => `mesq attach ${job} follows all of them, mesq logs -f ${task} that one.`,
    );
    if (known instanceof Fault) return known;
    const connection = await context.connect();
    return connection instanceof Fault ? connection : followJob(context, connection, known.spec);
  },
};
