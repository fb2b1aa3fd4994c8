import { Fault } from '../protocol/faults.ts';
import type { AgentVerdict } from '../protocol/operator.ts';
import { askBatch, askLeader, BATCH } from './ask.ts';
import { type Explanation, explain } from './explanation.ts';
import { noJob } from './job-name.ts';
import { printJson, printLine } from './output.ts';
import { stateColour } from './state-colour.ts';
import { formatTable } from './table.ts';
import { readTaskName } from './task-name.ts';
import { unknownJob } from './unknown-job.ts';
import type { Context, Verb } from './verb.ts';

const VERDICTS = {
  now: 'it fits now, and is about to be placed',
  later: 'it has to wait',
  never: 'no agent could ever hold it: it will wait until one joins that can',
} as const;

/** `mesq why JOB`: each agent, and what is missing there; and of any framework that says what it needs. */
export const why: Verb = {
  examples: ['mesq why k3v9x2ab', 'mesq why spark                   # a framework that says what it needs'],
  configure: (command) => {
    command.argument('<job>', "the job's id, or the name of a framework");
  },
  run: async (context, command) => {
    const [asked = ''] = command.args;
    const name = readTaskName(asked);
    const found = name instanceof Fault ? noJob(asked) : await askBatch(context, 'job', { job: name.job });
    if (!(found instanceof Fault)) return ofJob(context, found);
    if (name instanceof Fault || found.code === 'NOT_FOUND') {
      const declared = await ofFramework(context, asked);
      if (declared !== undefined) return declared;
    }
    return !(name instanceof Fault) && found.code === 'NOT_FOUND' ? unknownJob(context, name.job) : found;
  },
};

async function ofJob(
  context: Context,
  { job, spec }: Exclude<Awaited<ReturnType<typeof askBatch<'job'>>>, Fault>,
): Promise<number | Fault> {
  const { id, state, owner, tasks } = job;
  if (tasks.pending === 0) {
    if (context.options.json) await printJson(context, { job: id, state, pending: 0, verdict: null, agents: [] });
    else await printLine(context, `job ${id} is ${state}: none of its tasks waits`);
    return 0;
  }
  const connection = await context.connect();
  if (connection instanceof Fault) return connection;
  const answer = await explain(connection.client, spec, owner, context.answerMs());
  if (answer instanceof Fault) return answer;
  if (context.options.json) {
    const { verdict, reasons, agents } = answer;
    await printJson(context, { job: id, state, pending: tasks.pending, verdict, reasons, agents });
  } else await printExplanation(context, `job ${id}, ${tasks.pending} of ${tasks.total} tasks waiting`, answer);
  return 0;
}

/** Undefined where there is no such framework. */
async function ofFramework(context: Context, framework: string): Promise<number | Fault | undefined> {
  const declared = await askLeader(context, 'needs', { framework });
  if (declared instanceof Fault)
    return declared.code === 'NOT_FOUND' || declared.code === 'BAD_SHAPE' ? undefined : declared;
  const explained: (Explanation & (typeof declared.needs)[number])[] = [];
  for (const need of declared.needs) {
    const { role, resources, ports, constraints } = need;
    const answer = await askLeader(context, 'explain', { framework, role, resources, ports, constraints });
    if (answer instanceof Fault) return answer;
    explained.push({ ...need, ...answer });
  }
  const { state } = declared;
  if (context.options.json) {
    await printJson(context, { framework, state, needs: explained });
    return 0;
  }
  if (explained.length === 0) await printLine(context, nothingSaid(framework, state));
  for (const need of explained) {
    const times = need.count === 1 ? '' : `, ${need.count} times`;
    const what = `${framework} needs ${need.name ?? need.resources} (${need.resources} for role ${need.role}${times})`;
    await printExplanation(context, what, need);
  }
  return 0;
}

function nothingSaid(framework: string, state: string): string {
  if (framework === BATCH) return 'batch runs jobs: mesq jobs lists them, mesq why JOB says why one waits';
  if (state === 'disconnected') return `framework ${framework} is not connected: nothing is known of what it needs`;
  return `framework ${framework} has not said that anything waits`;
}

async function printExplanation(context: Context, what: string, explained: Explanation): Promise<void> {
  const { verdict, reasons, agents } = explained;
  const { terminal } = context;
  const text = agents.length === 0 ? 'no agent has joined yet' : VERDICTS[verdict];
  await printLine(context, `${what}: ${text}`);
  for (const reason of reasons) await printLine(context, `  ${reason}`);
  if (agents.length === 0) return;
  await terminal.out.write(
    formatTable<AgentVerdict>(
      agents,
      [
        { title: 'AGENT', whole: true, value: ({ agent }) => agent },
        { title: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
        { title: 'FITS', value: ({ fits, never }) => (fits ? 'yes' : never ? 'never' : 'not now') },
        { title: 'MISSING', value: ({ missing }) => missing.join(', ') || '-' },
      ],
      terminal.out,
    ),
  );
}
