import type { Log } from '../io/log.ts';
import type { Storage } from '../io/storage.ts';
import type { Fence } from '../protocol/agent-link.ts';
import { otherClusterFault, restoredTwiceFault } from '../protocol/cluster-faults.ts';
import { Fault } from '../protocol/faults.ts';
import { readCluster, writeCluster } from './cluster-file.ts';
import type { DurableState } from './durable-state.ts';

/** A cluster and how often it was restored from a backup. */
export interface Cluster {
  readonly uuid: string;
  readonly generation: number;
}

interface MembershipWorld {
  readonly storage: Storage;
  readonly durable: DurableState;
  readonly log: Log;
  readonly agent: string;
  readonly boot: string;
}

/** The cluster that the agent belongs to, and how new a leader's word has to be (docs/protocol.md, Fencing). */
export class Membership {
  readonly #world: MembershipWorld;
  #cluster: Cluster | undefined;
  #otherCluster = '';

  constructor(world: MembershipWorld) {
    this.#world = world;
  }

  /** Undefined where it has joined none. */
  get cluster(): Cluster | undefined {
    return this.#cluster;
  }

  /** A fault where its folder is damaged. */
  async read(): Promise<Fault | undefined> {
    const { storage, durable, log } = this.#world;
    const cluster = await readCluster(storage, log);
    if (cluster instanceof Fault) return cluster;
    if (cluster !== undefined) this.#cluster = { uuid: cluster.uuid, generation: cluster.generation };
    // Another cluster counts its terms from the beginning.
    if (cluster === undefined && durable.state.epoch > 0)
      await durable.commit([
        { kind: 'FENCE', generation: 0, term: 0 },
        { kind: 'REGISTERED', epoch: 0, boot: '' },
      ]);
    return undefined;
  }

  /**
   * Refuses another cluster aloud, and whatever is older than the newest leadership heard; remembers a newer one. `joining`:
   * an answer to REGISTER, which alone is heard where it has joined no cluster.
   */
  fresh(fence: Fence, joining: boolean): boolean {
    const { durable, log } = this.#world;
    const { state } = durable;
    if (this.#cluster !== undefined && fence.cluster !== this.#cluster.uuid) {
      const fault = otherClusterFault(fence.cluster, this.#cluster);
      if (this.#otherCluster !== fence.cluster) log.error(fault.message, { code: fault.code, hint: fault.hint });
      this.#otherCluster = fence.cluster;
      return false;
    }
    if (this.#cluster === undefined && !joining) return false;
    if (fence.generation < state.generation || (fence.generation === state.generation && fence.term < state.term)) {
      // An answer to its greeting: whoever leads there is behind what it has followed before.
      if (joining && fence.generation === state.generation) {
        const fault = restoredTwiceFault(fence, state);
        log.warn(fault.message, { code: fault.code, hint: fault.hint });
      } else log.debug('command of an older leader', { generation: fence.generation, term: fence.term });
      return false;
    }
    if (fence.generation > state.generation || fence.term > state.term) {
      durable
        .commit([{ kind: 'FENCE', generation: fence.generation, term: fence.term }])
        .catch((error: unknown) => log.warn('fence not written', { error: String(error) }));
    }
    return true;
  }

  /** Writes down that it is registered; false where that failed, and it is not. */
  async keep({ uuid, generation }: Cluster, epoch: number): Promise<boolean> {
    const { durable, storage, agent, boot, log } = this.#world;
    try {
      if (this.#cluster?.uuid !== uuid || this.#cluster.generation !== generation) {
        await writeCluster(storage, { uuid, generation, agent });
        this.#cluster = { uuid, generation };
      }
      await durable.promise([{ kind: 'REGISTERED', epoch, boot }]);
    } catch (error) {
      log.error('registration not kept', { error: String(error) });
      return false;
    }
    log.info('registered', { agent, epoch, cluster: uuid });
    return true;
  }
}
