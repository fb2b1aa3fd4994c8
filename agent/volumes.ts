import type { VolumeFolders } from '../io/volume-folders.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { volumesIn } from '../protocol/operations.ts';
import type { Resources } from '../protocol/resources.ts';
import { shortened } from '../protocol/shortened.ts';

export interface VolumeKey {
  readonly volume: string;
  readonly role: string;
}

/**
 * Where a volume is, below the folder of all volumes: no part of a role begins with `-`, and so no volume of one role
 * has the place of a role below it.
 */
export function volumePath({ volume, role }: VolumeKey): string {
  return `${role}/-${volume}`;
}

/** Persistent volumes of this agent: made when the first task needs them, removed when the cluster says so. */
export class Volumes {
  readonly #folders: VolumeFolders;
  readonly #inUse: (volume: VolumeKey) => boolean;
  /** One after the other: what is made after it was removed must not be caught by the removal. */
  #last: Promise<unknown> = Promise.resolve();

  /** `inUse`: a task that has not ended has it. */
  constructor(folders: VolumeFolders, inUse: (volume: VolumeKey) => boolean) {
    this.#folders = folders;
    this.#inUse = inUse;
  }

  /** Makes those among the resources that are not there yet; the fault where the disk refuses. */
  make(resources: Resources): Promise<Fault | undefined> {
    return this.#next(async () => {
      for (const volume of volumesIn(resources)) {
        try {
          await this.#folders.make(volumePath(volume));
        } catch (error) {
          return new Fault('DISK', `volume ${volume.volume} cannot be made: ${String(error)}`);
        }
      }
      return undefined;
    });
  }

  /** Removes them with all that is in them, and tells of each what kept it from that. */
  remove(volumes: readonly VolumeKey[]): Promise<(VolumeKey & { problem?: string })[]> {
    return this.#next(async () => {
      const removed: (VolumeKey & { problem?: string })[] = [];
      for (const { volume, role } of volumes) {
        const problem = await this.#removeOne({ volume, role });
        removed.push({ volume, role, ...(problem === undefined ? {} : { problem }) });
      }
      return removed;
    });
  }

  async #removeOne(volume: VolumeKey): Promise<string | undefined> {
    if (this.#inUse(volume)) return `a task here has volume ${volume.volume}`;
    try {
      await this.#folders.remove(volumePath(volume));
      return undefined;
    } catch (error) {
      return shortened(String(error), LIMITS.messageLength);
    }
  }

  #next<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
