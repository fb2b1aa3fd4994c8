import { parseDuration } from '../protocol/duration.ts';
import { Fault } from '../protocol/faults.ts';
import { notice, printJson, printLine } from './output.ts';
import { stopSignal } from './stop-signal.ts';
import type { Verb } from './verb.ts';

interface WrittenUpgrade {
  readonly wait: string;
  readonly blind?: boolean;
  readonly root: string;
}

/** `mesq agent upgrade [FOLDER]`: another version of the service, and the old one again where that does not work. */
export const agentUpgrade: Verb = {
  examples: [
    'mesq agent upgrade                        # to the version of this very mesq',
    'mesq agent upgrade /media/stick/mesq-0.2.0 --wait 5m',
  ],
  configure: (command) => {
    command
      .argument('[folder]', 'with build/cli/main.js in it; as unpacked, or as built')
      .option('--wait <duration>', 'how long it has to get into contact with the cluster', '60s')
      .option('--blind', 'also where the cluster cannot be reached now')
      .option('--root <dir>', 'the folder that stands for the machine', '/');
  },
  run: async (context, command) => {
    const { wait, blind = false, root } = command.opts<WrittenUpgrade>();
    const [from] = command.args;
    const waitMs = parseDuration(wait);
    if (waitMs instanceof Fault) return waitMs;
    const { upgradeService } = await import('./start-upgrade.ts');
    const stopped = stopSignal(context.terminal);
    const done = await upgradeService({
      root,
      from,
      waitMs,
      blind,
      stopped,
      say: (text) => notice(context, text),
    });
    if (done instanceof Fault) return done;
    if (context.options.json) await printJson(context, done);
    else await printLine(context, done.changed ? `${done.from} → ${done.to}` : `${done.to} is what runs already`);
    return 0;
  },
};
