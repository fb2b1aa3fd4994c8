import { Fault } from '../protocol/faults.ts';
import { parseLimits, parseQuantities } from '../protocol/quantities.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

interface QuotaOptions {
  readonly guarantee?: string;
  readonly limit?: string;
  readonly force?: boolean;
}

const USAGE = 'Write mesq quota set ROLE --guarantee cpus:2 --limit cpus:4, or mesq quota remove ROLE.';

/** `mesq quota set|remove ROLE`: what a role is sure of, and what it may not exceed. */
export const quota: Verb = {
  examples: [
    "mesq quota set vision --guarantee 'cpus:2;mem:1024' --limit 'cpus:4;mem:4096'",
    'mesq quota set guests --limit cpus:0        # nothing, for now',
    'mesq quota remove vision',
    'mesq roles                                  # what is set, and what is used',
  ],
  configure: (command) => {
    command
      .argument('<action>', 'set or remove')
      .argument('<role>', 'a role at the top of the tree; it holds for all below')
      .option('--guarantee <amounts>', 'kept free for it until it uses them: cpus:2;mem:1024')
      .option('--limit <amounts>', 'never more than this; a name that is not there is not limited')
      .option('--force', 'also where more is in use already, or more guaranteed than there is');
  },
  run: async (context, command) => {
    const [action = '', role = ''] = command.args;
    const { guarantee = '', limit = '', force = false } = command.opts<QuotaOptions>();
    if (action !== 'set' && action !== 'remove')
      return new Fault('BAD_USAGE', `mesq quota does not know ${action}`, USAGE);
    if (action === 'set' && guarantee === '' && limit === '')
      return new Fault('BAD_USAGE', 'a quota needs --guarantee, --limit or both', USAGE);
    if (action === 'remove' && (guarantee !== '' || limit !== ''))
      return new Fault('BAD_USAGE', 'mesq quota remove takes the role alone', USAGE);
    if (role.includes('/'))
      return new Fault(
        'BAD_USAGE',
        `${role} is below another role`,
        'A quota is for a role at the top of the tree, and holds for all below.',
      );
    const guarantees = parseQuantities(guarantee);
    if (guarantees instanceof Fault)
      return new Fault('BAD_USAGE', `--guarantee: ${guarantees.message}`, guarantees.hint);
    const limits = parseLimits(limit);
    if (limits instanceof Fault) return new Fault('BAD_USAGE', `--limit: ${limits.message}`, limits.hint);
    const answer =
      action === 'set'
        ? await askLeader(context, 'quota-set', { role, guarantees: [...guarantees], limits: [...limits], force })
        : await askLeader(context, 'quota-remove', { role });
    if (answer instanceof Fault) return answer;
    if (context.options.json) await printJson(context, answer);
    else await printLine(context, action === 'set' ? `role ${role} has a quota` : `role ${role} has no quota any more`);
    return 0;
  },
};
