import { Fault } from '../protocol/faults.ts';
import { askBatch } from './ask.ts';
import { EXIT } from './exit-codes.ts';
import { followJob } from './follow.ts';
import type { Verb } from './verb.ts';

/** `mesq attach JOB`: as `mesq run` would, had it not been left: its output from the beginning, exits as it exits. */
export const attach: Verb = {
  faultExit: EXIT.cluster,
  examples: ['mesq attach k3v9x2ab                # Ctrl-C leaves it, and it goes on'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [job = ''] = command.args;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const known = await askBatch(context, 'job', { job });
    return known instanceof Fault ? known : followJob(context, connection, known.spec);
  },
};
