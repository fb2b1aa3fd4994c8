import { parseDuration } from '../protocol/duration.ts';
import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

interface DrainOptions {
  readonly deadline?: string;
  readonly in?: string;
  readonly for?: string;
}

/** `mesq drain AGENT`: no more tasks; those that run end, at the deadline at the latest. Now, or in a window to come. */
export const drain: Verb = {
  examples: [
    'mesq drain pi-3 --deadline 10m         # what runs has ten minutes to end by itself',
    'mesq drain pi-3                        # now; each task has its own grace',
    'mesq drain pi-3 --in 2h --for 30m      # from two hours on, for half an hour; until then offers say so',
    'mesq agents                            # draining, then drained',
    'mesq resume pi-3                       # it takes tasks again; what was to come is off',
  ],
  configure: (command) => {
    command
      .argument('<agent>', 'name or id of the agent')
      .option('--deadline <duration>', 'until tasks that still run are killed (default: at once)')
      .option('--in <duration>', 'begin only then')
      .option('--for <duration>', 'resume by itself after so long');
  },
  run: async (context, command) => {
    const [agent = ''] = command.args;
    const options = command.opts<DrainOptions>();
    const spans = { deadlineMs: span(options, 'deadline'), inMs: span(options, 'in'), forMs: span(options, 'for') };
    const { deadlineMs, inMs, forMs } = spans;
    if (deadlineMs instanceof Fault) return deadlineMs;
    if (inMs instanceof Fault) return inMs;
    if (forMs instanceof Fault) return forMs;
    const answer = await askLeader(context, 'drain', {
      agent,
      deadlineMs: deadlineMs ?? 0,
      ...(inMs === undefined ? {} : { inMs }),
      ...(forMs === undefined ? {} : { forMs }),
    });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else await printLine(context, told(agent, options));
    return 0;
  },
};

function span(options: DrainOptions, name: keyof DrainOptions): number | undefined | Fault {
  const text = options[name];
  const ms = text === undefined ? undefined : parseDuration(text);
  if (ms instanceof Fault) return new Fault('BAD_USAGE', `--${name}: ${ms.message}`, ms.hint);
  if (name === 'for' && ms === 0)
    return new Fault('BAD_USAGE', `--for ${text} is no time at all`, 'Write it like --for 30m, or leave it out.');
  return ms;
}

function told(agent: string, options: DrainOptions): string {
  const { deadline } = options;
  const until = options.for === undefined ? '' : `, for ${options.for}`;
  const end = deadline === undefined ? 'are killed' : `are killed after ${deadline}`;
  if (options.in !== undefined)
    return `${agent} gets no more tasks from ${options.in} on${until}; those that run then ${end}`;
  if (deadline === undefined) return `${agent} gets no more tasks${until}; those that run are being killed`;
  return `${agent} gets no more tasks${until}; those that still run in ${deadline} are killed`;
}
