import * as v from 'valibot';
import type { Log } from '../io/log.ts';
import { setAside } from '../io/set-aside.ts';
import type { Storage } from '../io/storage.ts';
import { check, decode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { Id } from '../protocol/ids.ts';

const NAME = 'cluster.json';
const ClusterFile = v.object({
  uuid: Id,
  generation: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** The agent's own id, for where its state is damaged; absent where a version wrote it that did not say. */
  agent: v.optional(Id),
});
/** The cluster that an agent belongs to. */
export type ClusterFile = v.InferOutput<typeof ClusterFile>;

/** Undefined where it has joined none. A damaged file is set aside: the agent registers anew, wherever its credential is known. */
export async function readCluster(storage: Storage, log: Log): Promise<ClusterFile | Fault | undefined> {
  const found = await clusterFile(storage);
  if (!(found instanceof Fault)) return found;
  const kept = await setAside(storage, NAME);
  if (kept === undefined) return new Fault('CORRUPT', `${NAME}: ${found.message}`, 'Replace the medium.');
  log.error('the file that names the cluster is damaged: it is set aside, and this agent registers anew', {
    damage: found.message,
    kept,
  });
  return undefined;
}

/** As it is, or what is wrong with it. */
export async function clusterFile(storage: Storage): Promise<ClusterFile | Fault | undefined> {
  const bytes = await storage.read(NAME);
  if (bytes === undefined) return undefined;
  const decoded = decode(bytes);
  return decoded instanceof Fault ? decoded : check(ClusterFile, decoded.value);
}

export function writeCluster(storage: Storage, cluster: ClusterFile): Promise<void> {
  return storage.replace(NAME, new TextEncoder().encode(`${JSON.stringify(cluster)}\n`));
}
