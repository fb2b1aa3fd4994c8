import { Fault } from '../protocol/faults.ts';
import { printJson } from './output.ts';
import { printable } from './printable.ts';
import { paint } from './table.ts';
import type { Context, Verb } from './verb.ts';

/** One thing that was looked at. */
export interface CheckResult {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  /** What was found. */
  readonly text: string;
  /** What to do about it. */
  readonly hint?: string;
}

const COLOUR = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

/** `mesq doctor`: what this machine lacks, and how the cluster is; exit code 1 where anything fails. */
export const doctor: Verb = {
  examples: ['mesq doctor', 'mesq doctor --url mqtts://m1:8883'],
  exits: { 1: 'something that was looked at fails' },
  configure: (command) => {
    command.option('--data <dir>', 'data folder to check (default ~/.local/state/mesq)');
  },
  run: async (context, command) => {
    const { environment } = context.terminal;
    const state = environment['XDG_STATE_HOME'] || `${environment['HOME'] ?? ''}/.local/state`;
    const data = command.opts<{ data?: string }>().data ?? `${state}/mesq`;
    const { checkMachine } = await import('./start-checks.ts');
    const results = [...(await checkMachine(data)), ...(await checkCluster(context))];
    const failed = results.some((result) => result.state === 'fail');
    if (context.options.json) await printJson(context, { ok: !failed, checks: results });
    else await context.terminal.out.write(results.map((result) => line(result, context.terminal.out.colours)).join(''));
    return failed ? 1 : 0;
  },
};

/** The connection, the leader and the agents: each as far as the one before is there. */
export async function checkCluster(context: Context): Promise<CheckResult[]> {
  const { urls } = context.options;
  const connection = await context.connect();
  if (connection instanceof Fault) return [failure('broker', connection)];
  const broker: CheckResult = { name: 'broker', state: 'ok', text: `connected to ${urls.join(', ')}` };
  const masters = await connection.client.request('masters', {}, { timeoutMs: context.answerMs() });
  if (masters instanceof Fault) return [broker, failure('leader', masters)];
  const leader = masters.masters.find(({ role }) => role === 'leader');
  const version = leader === undefined || leader.version === context.terminal.version;
  const leads: CheckResult = {
    name: 'leader',
    state: leader === undefined ? 'fail' : version ? 'ok' : 'warn',
    text: leader === undefined ? 'nobody leads' : `${leader.id} leads, version ${leader.version}`,
    ...(leader === undefined ? { hint: 'Wait a moment, then see mesq masters.' } : {}),
    ...(version ? {} : { hint: `This is version ${context.terminal.version}: update the older side.` }),
  };
  const answer = await connection.client.request('agents', {}, { timeoutMs: context.answerMs() });
  if (answer instanceof Fault) return [broker, leads, failure('agents', answer)];
  const living = answer.agents.filter(({ state }) => state !== 'gone');
  const away = living
    .filter(({ state }) => state === 'unreachable' || state === 'disconnected')
    .map(({ name }) => name);
  const agents: CheckResult = {
    name: 'agents',
    state: living.length === 0 || away.length > 0 ? 'warn' : 'ok',
    text: `${living.length - away.length} of ${living.length} in contact${away.length === 0 ? '' : `; not ${away.slice(0, 10).join(', ')}`}`,
    ...(living.length === 0 ? { hint: 'Start one: mesq agent --master URL --data DIR.' } : {}),
    ...(away.length > 0
      ? { hint: 'Look at their power and network; for one that never comes back: mesq gone AGENT.' }
      : {}),
  };
  return [broker, leads, agents];
}

function failure(name: string, { message, hint }: Fault): CheckResult {
  return { name, state: 'fail', text: message, hint };
}

function line({ name, state, text, hint }: CheckResult, colours: boolean): string {
  const word = colours ? paint(state.padEnd(4), COLOUR[state]) : state.padEnd(4);
  return `${word}  ${name.padEnd(8)} ${printable(text)}\n${hint === undefined ? '' : `                ${printable(hint)}\n`}`;
}
