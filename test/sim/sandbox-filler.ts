import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { RunningDigest } from '../../io/digest.ts';
import type { SandboxFiller } from '../../io/sandbox-filler.ts';

/** Sandboxes as lists of what was put into them. Outlives the agent. */
export class SimulatedSandboxes {
  /** By task folder: places, and names of the files that are there. */
  readonly contents = new Map<string, Map<string, string>>();
  /** Task folders whose sandbox is the tasks' by now. */
  readonly handedOver = new Set<string>();
  freeBytes = 10_000_000_000;

  filler(): SandboxFiller {
    const put = (folder: string, path: string, file: string): Promise<void> => {
      assert.ok(!this.handedOver.has(folder), `${path} is put into ${folder}, where tasks may write`);
      this.contents.get(folder)?.set(path, file);
      return Promise.resolve();
    };
    return {
      space: () => Promise.resolve({ freeBytes: this.freeBytes, totalBytes: 20_000_000_000 }),
      clear: (folder) => {
        this.contents.set(folder, new Map());
        this.handedOver.delete(folder);
        return Promise.resolve();
      },
      copy: (file, folder, path) => put(folder, path, file),
      unpack: (file, folder, path) => put(folder, `${path}/`, file),
      handOver: (folder) => {
        this.handedOver.add(folder);
        return Promise.resolve();
      },
    };
  }
}

export function runningDigest(): RunningDigest {
  const hash = createHash('sha256');
  return { update: (bytes) => void hash.update(bytes), end: () => hash.digest('hex') };
}
