import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { printJson, printLine } from './output.ts';
import type { RestoreOptions } from './start-backup.ts';
import type { Verb } from './verb.ts';

const USAGE = 'Write mesq restore FILE --data DIR, or mesq restore --recreate CLUSTER --data DIR.';

/** `mesq restore FILE`: the data folder of a cluster's only master, from a backup or in place of a lost one; offline. */
export const restore: Verb = {
  examples: [
    'mesq restore mesq.backup --data /var/lib/mesq/m1    # then: mesq master --id m1 --data /var/lib/mesq/m1',
    'mesq restore --recreate c-4f… --generation 2 --data DIR    # no backup: what the agents say they belong to',
  ],
  configure: (command) => {
    command
      .argument('[file]', 'made by mesq backup')
      .requiredOption('--data <dir>', 'the new data folder of the master that will lead alone')
      .option('--recreate <cluster>', 'the id of a cluster whose masters and backups are lost')
      .option('--generation <n>', 'higher than any that the agents follow (default: one more than the backup has)');
  },
  run: async (context, command) => {
    const {
      data,
      recreate,
      generation: written,
    } = command.opts<{
      data: string;
      recreate?: string;
      generation?: string;
    }>();
    const [file] = command.args;
    const generation = written === undefined ? undefined : Number(written);
    if (generation !== undefined && !(Number.isSafeInteger(generation) && generation >= 2))
      return new Fault('BAD_USAGE', `--generation: ${written} is no whole number from 2 on`);
    if ((file === undefined) === (recreate === undefined))
      return new Fault('BAD_USAGE', 'either a file or --recreate says what to begin with', USAGE);
    const cluster = recreate === undefined ? undefined : parseId(recreate, '--recreate');
    if (cluster instanceof Fault) return cluster;
    if (cluster !== undefined && !/^c-[a-z0-9]{20}$/.test(cluster))
      return new Fault(
        'BAD_USAGE',
        `--recreate: ${cluster} is no id of a cluster`,
        'The agents say in their logs what they belong to.',
      );
    const source: RestoreOptions =
      file === undefined ? { data, generation, recreate: cluster ?? '' } : { data, generation, file };
    const startBackup = await import('./start-backup.ts');
    const restored = await startBackup.restore(source);
    if (restored instanceof Fault) return restored;
    const { cluster: begun, index, agents, tasks } = restored;
    if (context.options.json)
      await printJson(context, {
        data,
        cluster: begun.uuid,
        generation: begun.generation,
        index,
        agents,
        tasks,
      });
    else
      await printLine(
        context,
        `${data}: cluster ${begun.uuid}, generation ${begun.generation}, with ${agents} agents and ${tasks} tasks; start mesq master with it`,
      );
    return 0;
  },
};
