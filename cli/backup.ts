import { Fault } from '../protocol/faults.ts';
import { askLeader } from './ask.ts';
import { printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

/** `mesq backup FILE`: the registry, as the leader has it now, to a file. */
export const backup: Verb = {
  examples: [
    'mesq backup mesq-$(date +%F).backup    # jobs, agents, quotas, tokens (hashed); not the outputs of tasks',
  ],
  configure: (command) => {
    command.argument('<file>', 'where to; only its owner may read it');
  },
  run: async (context, command) => {
    const [file = ''] = command.args;
    if (file === '-')
      return new Fault(
        'BAD_USAGE',
        'mesq backup writes to a file, not to standard output: half a backup must never look like a whole one',
        'Name a file; to write to one called -, mesq backup ./-',
      );
    const { checkBackupPlace, keepBackup } = await import('./start-backup.ts');
    const wrong = await checkBackupPlace(file);
    if (wrong !== undefined) return wrong;
    const answer = await askLeader(context, 'backup', {});
    if (answer instanceof Fault) return answer;
    const { cluster, generation, index, pieces } = answer;
    const fault = await keepBackup(file, index, pieces);
    if (fault !== undefined) return fault;
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
    if (context.options.json) await printJson(context, { file, cluster, generation, index, bytes });
    else await printLine(context, `${file}: cluster ${cluster} as of entry ${index}, ${bytes} bytes`);
    return 0;
  },
};
