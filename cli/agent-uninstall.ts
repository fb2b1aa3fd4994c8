import { Fault } from '../protocol/faults.ts';
import { notice, printJson, printLine } from './output.ts';
import type { Verb } from './verb.ts';

interface WrittenUninstall {
  readonly root: string;
  readonly data?: string;
  readonly keepData?: boolean;
  readonly force?: boolean;
}

/** `mesq agent uninstall`: the machine as it was before. */
export const agentUninstall: Verb = {
  examples: [
    'mesq drain attic && mesq agent uninstall     # when its tasks have ended',
    'mesq agent uninstall --force                 # ends them',
    'mesq agent uninstall --keep-data             # it may come back as the same agent',
  ],
  configure: (command) => {
    command
      .option('--force', 'end the tasks that run here')
      .option('--keep-data', 'leave the data folder: what it ran, and its credential')
      .option('--data <dir>', 'its data folder (default: the one that it was installed with)')
      .option('--root <dir>', 'the folder that stands for the machine', '/');
  },
  run: async (context, command) => {
    const { root, data: said, keepData = false, force = false } = command.opts<WrittenUninstall>();
    const { installedData, uninstallService } = await import('./start-uninstall.ts');
    const data = said ?? (await installedData(root));
    const done = await uninstallService({ root, data, keepData, force });
    if (done instanceof Fault) return done;
    if (context.options.json) await printJson(context, done);
    else {
      for (const path of done.removed) await printLine(context, `removed ${path}`);
      await printLine(context, done.removed.length === 0 ? 'there was no agent' : `${done.ended} processes ended`);
      if (done.containers > 0) await printLine(context, `${done.containers} containers removed`);
      for (const what of done.left) await notice(context, `left: ${what}`);
      if (!keepData && done.removed.length > 0)
        await notice(context, 'Next: mesq gone AGENT tells the cluster that it does not come back.');
    }
    return 0;
  },
};
