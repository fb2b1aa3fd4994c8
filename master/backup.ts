import { openJournal } from '../io/journal.ts';
import { readSnapshotFile, writeSnapshotFile } from '../io/snapshot-file.ts';
import type { Storage } from '../io/storage.ts';
import { Fault } from '../protocol/faults.ts';
import { encodeSnapshotMeta } from './raft/records.ts';
import { type Cluster, emptyRegistry, type Registry } from './registry/registry.ts';
import { headOf, registryOf, snapshotSlices } from './registry/snapshot.ts';

/** Where a master keeps its log, below its data folder. */
export const LOG_FOLDER = 'log';
const SEGMENT_BYTES = 4 * 1_048_576;
/** Of the first entry that a recreated cluster pretends to have had. */
const FIRST = { index: 1, term: 1 } as const;

/** What a restored data folder begins with. */
export interface Restored {
  readonly cluster: Cluster;
  /** Log index of the last command in it. */
  readonly index: number;
  readonly agents: number;
  readonly tasks: number;
}

/**
 * Writes a registry's slices to the file `name`: checksummed, synced, then renamed. `index` is of the last command in
 * them. Rejects with a `StorageError`.
 */
export async function writeBackup(
  storage: Storage,
  name: string,
  index: number,
  slices: Iterable<Uint8Array>,
): Promise<void> {
  const partial = `${name}.partial`;
  await writeSnapshotFile(storage, partial, index, slices);
  await storage.rename(partial, name);
}

/** The registry in a backup. Faults: NOT_FOUND, CORRUPT, UNSUPPORTED, and BAD_USAGE for a file of another kind. */
export async function readBackup(storage: Storage, name: string): Promise<Registry | Fault> {
  if ((await storage.read(name)) === undefined) return new Fault('NOT_FOUND', `there is no file ${name}`);
  const file = await readSnapshotFile(storage, name);
  if ('refused' in file) return new Fault(file.refused === 'corrupt' ? 'CORRUPT' : 'UNSUPPORTED', file.message);
  const [first] = file.slices;
  const head = first === undefined ? new Fault('BAD_USAGE', 'it is empty') : headOf(first);
  if (head instanceof Fault) return new Fault(head.code, `${name} is no backup that can be read: ${head.message}`);
  if (head.cluster === undefined) return new Fault('BAD_USAGE', `${name} is a backup of no cluster`);
  return registryOf(file.slices);
}

/**
 * Makes the log of a cluster's only master out of a backup. `generation`: default one more than the backup's; agents
 * refuse any that is not newer than what they follow (docs/backup.md). Faults: EXISTS where there is a log already.
 */
export function restoreLog(target: Storage, backup: Registry, generation?: number): Promise<Restored | Fault> {
  const { cluster, index, term } = backup;
  if (cluster === undefined) return Promise.resolve(new Fault('BAD_USAGE', 'it is a backup of no cluster'));
  if (generation !== undefined && generation <= cluster.generation) {
    return Promise.resolve(
      new Fault(
        'BAD_USAGE',
        `--generation ${generation} is not newer than the backup's own, ${cluster.generation}`,
        `Leave it out, or take ${cluster.generation + 1} or more.`,
      ),
    );
  }
  return beginLog(target, backup, { ...cluster, generation: generation ?? cluster.generation + 1 }, { index, term });
}

/** Makes the log of a master that takes the place of a lost one: the same cluster, and nothing in it. Faults as of {@link restoreLog}. */
export function recreateLog(target: Storage, cluster: Cluster): Promise<Restored | Fault> {
  return beginLog(target, emptyRegistry(), cluster, FIRST);
}

async function beginLog(
  target: Storage,
  registry: Registry,
  cluster: Cluster,
  { index, term }: { readonly index: number; readonly term: number },
): Promise<Restored | Fault> {
  if ((await target.list(LOG_FOLDER)).length > 0) {
    return new Fault(
      'EXISTS',
      'the data folder has the log of a master already',
      'Pass another --data, or move its log folder away.',
    );
  }
  const opened = await openJournal(target, LOG_FOLDER, { segmentBytes: SEGMENT_BYTES });
  if ('refused' in opened) return new Fault('CORRUPT', opened.message);
  const restored: Registry = { ...registry, cluster, index, term };
  // Who was a master with it does not count any more: it is alone, and others are added anew.
  const meta = encodeSnapshotMeta({ index, term, hardState: { term, vote: undefined }, membership: undefined });
  await opened.journal.compact([meta, ...snapshotSlices(restored)], 0);
  await opened.journal.close();
  return { cluster, index, agents: restored.agents.size, tasks: restored.tasks.size };
}
