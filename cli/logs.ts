import { Fault } from '../protocol/faults.ts';
import { parseTaskName } from '../protocol/job.ts';
import type { Client } from '../sdk/index.ts';
import { BATCH } from './ask.ts';
import { whyMissing } from './missing-task.ts';
import { notice } from './output.ts';
import { StreamCopy } from './stream-copy.ts';
import { type Tail, tailOf } from './tail.ts';
import { type AnyTask, readAnyTask } from './task-name.ts';
import type { Verb } from './verb.ts';

interface LogsOptions {
  readonly follow?: boolean;
  readonly stderr?: boolean;
  readonly previous?: boolean;
  readonly tail?: string;
  readonly overBudget?: boolean;
}

/** `mesq logs TASK`: what it wrote, wherever it runs or ran. */
export const logs: Verb = {
  examples: [
    'mesq logs k3v9x2ab               # the only task of a job',
    'mesq logs k3v9x2ab.4 --stderr',
    'mesq logs -f --tail 20 k3v9x2ab.4',
    'mesq logs k3v9x2ab.4.0           # its first attempt',
    'mesq logs --previous k3v9x2ab    # why it was restarted: the start before the newest',
    'mesq logs spark/stage-7          # a task of another framework',
  ],
  exits: { 0: 'also after Ctrl-C, and once nobody reads any more' },
  configure: (command) => {
    command
      .argument('<task>', 'job, job.index, job.index.attempt, or framework/task')
      .option('-f, --follow', 'go on as the task writes')
      .option('--stderr', 'standard error instead of standard output')
      .option('--previous', 'where its restart policy started it again: what the start before the newest wrote')
      .option('--tail <lines>', 'only the last lines there are')
      .option('--over-budget', "although the agent's budget for the day is spent (operators)");
  },
  run: async (context, command) => {
    const { follow = false, stderr = false, previous = false, tail, overBudget = false } = command.opts<LogsOptions>();
    const name = readAnyTask(command.args[0] ?? '');
    if (name instanceof Fault) return name;
    if (tail !== undefined && !/^\d{1,9}$/.test(tail))
      return new Fault(
        'BAD_USAGE',
        `--tail: ${JSON.stringify(tail)} is no number of lines`,
        'Write it like --tail 20.',
      );
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const { client } = connection;
    const { out } = context.terminal;
    const restart = previous ? await startBefore(client, name, context.options.timeoutMs) : undefined;
    if (restart instanceof Fault) return restart;
    const source = {
      framework: name.framework,
      task: name.task,
      stream: stderr ? ('stderr' as const) : ('stdout' as const),
      ...(name.attempt === undefined ? {} : { attempt: name.attempt }),
      ...(restart === undefined ? {} : restart),
      overBudget,
    };
    const note = (bytes: number): void => void notice(context, `${bytes} bytes before this were dropped by the agent`);
    let start: Tail = { from: 0, bytes: new Uint8Array() };
    if (tail !== undefined) {
      const found = await tailOf(client, source, Number(tail));
      if (found instanceof Fault) return found.code === 'NOT_FOUND' ? whyMissing(context, name, 'read', found) : found;
      start = found;
      if (start.bytes.length > 0) await out.write(start.bytes);
      if (!follow) return 0;
    }
    const copy = new StreamCopy(client, { ...source, from: start.from, follow }, out, note);
    context.terminal.onSignal('SIGINT', () => copy.stop());
    const end = await copy.ended;
    if (!(end instanceof Fault)) return 0;
    return end.code === 'NOT_FOUND' ? whyMissing(context, name, 'read', end) : end;
  },
};

/** The attempt and the number of the start before the newest. */
async function startBefore(
  client: Client,
  { framework, task, attempt }: AnyTask,
  timeoutMs: number,
): Promise<{ attempt: number; restart: number } | Fault> {
  const job = parseTaskName(task)?.job;
  if (framework !== BATCH || job === undefined)
    return new Fault('BAD_USAGE', `--previous is for tasks of jobs, and ${task} is of ${framework}`);
  const answer = await client.request('tasks', { job }, { framework: BATCH, timeoutMs });
  if (answer instanceof Fault) return answer;
  const view = answer.tasks.find(({ id }) => id === task);
  if (view !== undefined && view.restart > 0 && (attempt ?? view.attempt) === view.attempt)
    return { attempt: view.attempt, restart: view.restart - 1 };
  return new Fault(
    'NOT_FOUND',
    `task ${task} was not started again by its restart policy`,
    'Attempts are named: mesq logs JOB.INDEX.ATTEMPT.',
  );
}
