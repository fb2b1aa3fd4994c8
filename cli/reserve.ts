import { Fault } from '../protocol/faults.ts';
import { parseResources } from '../protocol/resources.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** Both verbs read alike. */
function reserving(name: 'reserve' | 'unreserve', done: string, examples: readonly string[]): Verb {
  return {
    examples,
    configure: (command) => {
      command.argument('<agent>', 'name or id of the agent').argument('<resources>', 'cpus(role):2;mem(role):512');
    },
    run: async (context, command) => {
      const [agent = '', text = ''] = command.args;
      const resources = parseResources(text);
      if (resources instanceof Fault) return new Fault('BAD_USAGE', resources.message, resources.hint);
      if (resources.some(({ role }) => role === undefined))
        return new Fault('BAD_USAGE', `${text}: every part needs a role`, 'Write cpus(role):2;mem(role):512.');
      const answer = await askLeader(context, name, { agent, resources: text });
      if (answer instanceof Fault) return answer;
      if (context.options.json) await printJson(context, answer);
      else await printLine(context, `${text} ${done} on ${agent}`);
      return 0;
    },
  };
}

/** `mesq reserve AGENT RESOURCES`: for one role and those below it. */
export const reserve: Verb = reserving('reserve', 'is reserved', [
  "mesq reserve jetson-1 'cpus(vision):2;mem(vision):1024'",
  'mesq roles                       # what is reserved for whom',
]);

/** `mesq unreserve AGENT RESOURCES`: for everybody again. */
export const unreserve: Verb = reserving('unreserve', "is nobody's again", [
  "mesq unreserve jetson-1 'cpus(vision):2'",
]);
