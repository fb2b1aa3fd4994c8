import { salvageJournal } from '../io/journal-salvage.ts';
import type { Launcher } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import { damagedBeside, setAside } from '../io/set-aside.ts';
import { Fault } from '../protocol/faults.ts';
import { salvaged } from './checkpoint/salvage.ts';
import { clusterFile } from './cluster-file.ts';
import { CHECKPOINT_FOLDER, DurableState, type DurableStateOptions } from './durable-state.ts';

export interface OpenStateOptions extends DurableStateOptions {
  readonly launcher: Launcher;
  readonly log: Log;
}

/**
 * The agent's state, a new one where there is none. A damaged one is set aside, and the agent goes on as who it was but
 * without its tasks: what of them still runs is ended first, so that none runs beside its next attempt, and the masters
 * hear at its registration that they are gone. Nobody has to come to the board. Faults: `CORRUPT` where the medium spoils
 * one after the other, or a later version wrote it.
 */
export async function openState(options: OpenStateOptions): Promise<DurableState | Fault> {
  const { storage, log, launcher } = options;
  const first = await DurableState.open(options);
  if (first instanceof Fault) {
    if (first.code !== 'CORRUPT') return first;
    const kept = await setAside(storage, CHECKPOINT_FOLDER);
    if (kept === undefined)
      return new Fault(
        'CORRUPT',
        `${first.message}, as were ${(await damagedBeside(storage, CHECKPOINT_FOLDER)).join(', ')} before`,
        'Replace the medium: it does not keep what is written.',
      );
    log.error('the state is damaged: it is set aside, and this agent goes on without the tasks it had', {
      damage: first.message,
      kept,
    });
  }
  const opened = first instanceof Fault ? await DurableState.open(options) : first;
  if (opened instanceof Fault || !opened.isBlank) return opened;
  // A crash may have come between the renaming and the end of what follows: it is all done again.
  const newest = (await damagedBeside(storage, CHECKPOINT_FOLDER)).at(-1);
  const cluster = await clusterFile(storage);
  const agent = cluster instanceof Fault ? undefined : cluster?.agent;
  // Damage from the first record on looks like a write that a crash cut short, and has left nothing to set aside.
  if (newest === undefined && agent === undefined) return opened;
  await endAll(launcher, log);
  const records = newest === undefined ? [] : await salvageJournal(storage, newest);
  await opened.commit(salvaged(records, agent));
  return opened;
}

/** Nothing of them is in the state any more. One that cannot be ended keeps no other, nor the agent. */
async function endAll(launcher: Launcher, log: Log): Promise<void> {
  for (const folder of await launcher.folders()) {
    try {
      await end(launcher, folder);
      log.warn('task ended: nothing is known of it any more', { folder });
    } catch (error) {
      log.error('task not ended, of which nothing is known any more: its folder goes', {
        folder,
        error: String(error),
      });
      // Whoever finds its container, when its engine answers, finds that nobody needs it.
      await launcher
        .remove(folder)
        .catch((reason: unknown) => log.error('folder not removed', { folder, error: String(reason) }));
    }
  }
}

async function end(launcher: Launcher, folder: string): Promise<void> {
  if (await launcher.claim(folder)) return;
  await launcher.signal(folder, 'SIGKILL');
  await launcher.sweep(folder);
}
