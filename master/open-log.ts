import { type Journal, openJournal } from '../io/journal.ts';
import { damagedBeside, setAside } from '../io/set-aside.ts';
import { Fault } from '../protocol/faults.ts';
import type { Membership } from '../protocol/raft.ts';
import { JournaledLog } from './log.ts';
import { encodeBeginning, type HardState } from './raft/records.ts';
import { type Remembered, recover } from './raft/recover.ts';
import type { LogOptions, OpenedLog } from './replicated-log.ts';

const SEGMENT_BYTES = 4 * 1_048_576;
const ALONE_HINT =
  'Nothing was changed. Make a new data folder from a backup: mesq restore BACKUP --data NEW; without one: mesq restore --recreate CLUSTER --data NEW (docs/backup.md). Are there other masters, start it with --peer for each of them: it rejoins.';
const DYING_HINT =
  'Nothing was changed. Replace the medium, and start with an empty data folder; or remove those folders to try again.';

/**
 * Opens the log in `folder`, a new one where there is none. Where a damaged one is of one master of several, it is set
 * aside, and this master rejoins the others as one that has lost its log. Faults: `CORRUPT`, `UNSUPPORTED` (a later
 * version wrote it); rejects with a `StorageError` where the disk refuses.
 */
export async function openLog(options: LogOptions): Promise<OpenedLog | Fault> {
  const { storage, folder, founders } = options;
  const found = await find(options);
  if (!(found instanceof Fault)) return found;
  if (found.code !== 'CORRUPT') return found;
  if (founders === undefined || founders.voters.length < 2) return new Fault('CORRUPT', found.message, ALONE_HINT);
  const name = await setAside(storage, folder);
  if (name === undefined) {
    const kept = (await damagedBeside(storage, folder)).join(', ');
    return new Fault('CORRUPT', `${found.message}, as were ${kept} before`, DYING_HINT);
  }
  options.log.error('the log is damaged: it is set aside, and this master rejoins the others with an empty one', {
    damage: found.message,
    kept: name,
  });
  return find(options);
}

/** Opens what is in the folder. */
async function find(options: LogOptions): Promise<OpenedLog | Fault> {
  const { storage, folder, log, segmentBytes = SEGMENT_BYTES } = options;
  const opened = await openJournal(storage, folder, { segmentBytes });
  if ('refused' in opened) {
    return opened.refused === 'corrupt'
      ? new Fault('CORRUPT', opened.message)
      : new Fault('UNSUPPORTED', opened.message, 'Start the later version again that wrote it.');
  }
  const { journal, recovered } = opened;
  const [meta, ...slices] = recovered.snapshot ?? [];
  const blank = meta === undefined && recovered.records.length === 0;
  const rejoins = blank && (await damagedBeside(storage, folder)).length > 0;
  const remembered = rejoins ? await rejoin(journal, options.founders) : recover(meta, recovered.records);
  if (remembered instanceof Fault) {
    await journal.close();
    return remembered;
  }
  const { start, entries, hardState } = remembered;
  log.info('log opened', { snapshot: start.index, entries: entries.length, term: hardState.term });
  if (recovered.tornBytes > 0) log.warn('cut a write that a crash had left unfinished', { bytes: recovered.tornBytes });
  if (hardState.rejoining === true) log.warn('this master neither votes nor leads until a leader has sent it all');
  return {
    log: new JournaledLog(options, journal, remembered),
    snapshot: meta === undefined ? undefined : { ...start, slices },
  };
}

/**
 * A log that was set aside was not empty. Who has had one must not be taken for new, not even where all the others have
 * lost theirs too: they would found another cluster in the place of the one that is on their disks.
 */
async function rejoin(journal: Journal, founders: Membership | undefined): Promise<Remembered> {
  const hardState: HardState = { term: 0, vote: undefined, rejoining: true };
  await journal.append(encodeBeginning(hardState, founders)).durable;
  return { hardState, start: { index: 0, term: 0 }, membership: founders, entries: [], ordinals: [] };
}
