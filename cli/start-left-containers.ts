import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fetchedImages } from '../agent/image-keeper.ts';
import { type ContainerEngine, EngineError, StopRequest } from '../io/containers.ts';
import { containersIn } from '../io/node/container-launcher.ts';
import { fileStorage } from '../io/node/storage.ts';

/** From SIGTERM to SIGKILL. */
const GRACE_MS = 10_000;

/** What the agent of a data folder has with a container engine. */
export class LeftContainers {
  readonly #engine: ContainerEngine;
  readonly #data: string;

  /** `data`: absolute. */
  constructor(engine: ContainerEngine, data: string) {
    this.#engine = engine;
    this.#data = data;
  }

  /** How many run; undefined where the engine does not say. */
  async running(): Promise<number | undefined> {
    try {
      let running = 0;
      for (const name of await this.#names()) if ((await this.#engine.inspect(name))?.state === 'running') running++;
      return running;
    } catch (error) {
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  /** Ends those that run, politely first, and removes all of them. Gives how many there were, and what stays. */
  async remove(): Promise<{ readonly removed: number; readonly left: readonly string[] }> {
    const left: string[] = [];
    let removed = 0;
    const names = await this.#names().catch((error: unknown) => {
      left.push(`containers: ${wordsOf(error)}`);
      return [];
    });
    await Promise.all(
      names.map((name) =>
        this.#end(name).then(
          () => removed++,
          (error: unknown) => left.push(`container ${name}: ${wordsOf(error)}`),
        ),
      ),
    );
    return { removed, left };
  }

  /** Removes the images that were fetched for its tasks; those that others use stay. Gives what stays against its will. */
  async removeImages(): Promise<readonly string[]> {
    const left: string[] = [];
    for (const { image } of await fetchedImages(fileStorage(this.#data)))
      await this.#engine.removeImage(image).catch((error: unknown) => left.push(`image ${image}: ${wordsOf(error)}`));
    return left;
  }

  async #names(): Promise<string[]> {
    const tasks = join(this.#data, 'tasks');
    return existsSync(tasks) ? (await containersIn(this.#engine, tasks)).map(({ name }) => name) : [];
  }

  async #end(name: string): Promise<void> {
    if (await this.#engine.signal(name, 'SIGTERM')) {
      const patience = new StopRequest();
      const late = setTimeout(() => patience.stop(), GRACE_MS);
      await this.#engine.wait(name, patience).catch((error: unknown) => {
        if (!(error instanceof EngineError && (error.code === 'STOPPED' || error.code === 'NOT_FOUND'))) throw error;
      });
      clearTimeout(late);
    }
    await this.#engine.remove(name);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
