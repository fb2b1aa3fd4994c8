import { Fault } from '../protocol/faults.ts';
import type { AgentVerdict } from '../protocol/operator.ts';
import { askBatch } from './ask.ts';
import { explain } from './explanation.ts';
import { printJson, printLine } from './output.ts';
import { stateColour } from './state-colour.ts';
import { formatTable } from './table.ts';
import { readTaskName } from './task-name.ts';
import type { Verb } from './verb.ts';

const VERDICTS = {
  now: 'it fits now, and is about to be placed',
  later: 'it has to wait',
  never: 'no agent could ever hold it: it will wait until one joins that can',
} as const;

/** `mesq why JOB`: each agent, and what is missing there. */
export const why: Verb = {
  examples: ['mesq why k3v9x2ab'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const name = readTaskName(command.args[0] ?? '');
    if (name instanceof Fault) return name;
    const id = name.job;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const found = await askBatch(context, 'job', { job: id });
    if (found instanceof Fault) return found;
    const { job, spec } = found;
    const { terminal, options } = context;
    if (job.tasks.pending === 0) {
      if (options.json) await printJson(context, { job: id, state: job.state, pending: 0, verdict: null, agents: [] });
      else await printLine(context, `job ${id} is ${job.state}: none of its tasks waits`);
      return 0;
    }
    const answer = await explain(connection.client, spec, options.timeoutMs);
    if (answer instanceof Fault) return answer;
    const { verdict, agents } = answer;
    if (options.json) {
      await printJson(context, { job: id, state: job.state, pending: job.tasks.pending, verdict, agents });
      return 0;
    }
    const text = agents.length === 0 ? 'no agent has joined yet' : VERDICTS[verdict];
    await printLine(context, `job ${id}, ${job.tasks.pending} of ${job.tasks.total} tasks waiting: ${text}`);
    if (agents.length > 0) {
      await terminal.out.write(
        formatTable<AgentVerdict>(
          agents,
          [
            { title: 'AGENT', value: ({ agent }) => agent },
            { title: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
            { title: 'FITS', value: ({ fits, never }) => (fits ? 'yes' : never ? 'never' : 'not now') },
            { title: 'MISSING', value: ({ missing }) => missing.join(', ') || '-' },
          ],
          terminal.out,
        ),
      );
    }
    return 0;
  },
};
