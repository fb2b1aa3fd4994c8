import { StorageError } from '../../io/storage.ts';
import type { VolumeFolders } from '../../io/volume-folders.ts';

/** Folders of one machine in memory, with what was left in them. */
export class SimulatedVolumes implements VolumeFolders {
  readonly root = '/data/volumes';
  /** Path → content, as a task would leave it. */
  readonly folders = new Map<string, string>();
  /** Paths that the disk will not remove or make. */
  readonly broken = new Set<string>();

  make(path: string): Promise<void> {
    if (this.broken.has(path)) return Promise.reject(new StorageError('EIO', path));
    if (!this.folders.has(path)) this.folders.set(path, '');
    return Promise.resolve();
  }

  remove(path: string): Promise<void> {
    if (this.broken.has(path)) return Promise.reject(new StorageError('EIO', path));
    this.folders.delete(path);
    return Promise.resolve();
  }
}
