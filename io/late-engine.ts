import {
  type ContainerEngine,
  type ContainerSpec,
  type ContainerState,
  type ContainerSummary,
  EngineError,
  type EngineVersion,
  type ImageState,
  type PullProgress,
  type Stop,
  type TakeOutput,
} from './containers.ts';
import type { Log } from './log.ts';

/** Looks in a row that found nobody, until an engine counts as gone: one that is upgraded is away for less. */
const MOST_MISSED = 2;

export interface FoundEngine extends EngineVersion {
  readonly containers: ContainerEngine;
  /** Path of its unix socket. */
  readonly socket: string;
}

export interface EngineWorld {
  /** An engine that answers: the one behind that socket, or any, where none is named. Undefined where nobody does. */
  readonly find: (socket: string | undefined) => Promise<FoundEngine | undefined>;
  /** Whether there is a socket, which says little of who is behind it, and wakes nobody. */
  readonly isThere: (socket: string) => Promise<boolean>;
  readonly log: Log;
}

/**
 * The engine of a machine that may come later than its agent, and go. While nobody is there every call is answered as by
 * an engine that is down (`UNAVAILABLE`: ask again).
 *
 * One that was found is the only one that is looked for from then on: what it runs would not be found with another, and
 * would be started twice.
 */
export class LateEngine implements ContainerEngine {
  readonly #world: EngineWorld;
  readonly #listeners: (() => void)[] = [];
  #found: FoundEngine | undefined;
  /** Where it was when it was last there. */
  #socket: string | undefined;
  #missed = 0;
  /** A call was not answered: that there is a socket is not enough. */
  #doubted = false;
  #looking: Promise<void> | undefined;

  constructor(world: EngineWorld) {
    this.#world = world;
  }

  /** Undefined while nobody is there. */
  get found(): FoundEngine | undefined {
    return this.#found;
  }

  get there(): boolean {
    return this.#found !== undefined;
  }

  /** Calls `listener` each time that an engine is there after there was none. */
  onAppeared(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Looks whether one has come, or the one that was there has gone. Of several at a time one looks. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => this.#world.log.warn('container engine not looked for', { error: String(error) }))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { find, isThere, log } = this.#world;
    const before = this.#found;
    if (before !== undefined && !this.#doubted && (await isThere(before.socket))) {
      this.#missed = 0;
      return;
    }
    const now = await find(this.#socket);
    if (now !== undefined) {
      this.#found = now;
      this.#socket = now.socket;
      this.#missed = 0;
      this.#doubted = false;
      if (before !== undefined) return;
      log.info('containers', { by: now.engine, version: now.version, at: now.socket });
      for (const listener of this.#listeners) listener();
    } else if (before !== undefined && ++this.#missed >= MOST_MISSED) {
      this.#found = undefined;
      log.warn('the container engine is gone', { at: before.socket });
    }
  }

  version(): Promise<EngineVersion> {
    return this.#ask((engine) => engine.version());
  }

  create(spec: ContainerSpec): Promise<'created' | 'exists'> {
    return this.#ask((engine) => engine.create(spec));
  }

  start(name: string): Promise<void> {
    return this.#ask((engine) => engine.start(name));
  }

  inspect(name: string): Promise<ContainerState | undefined> {
    return this.#ask((engine) => engine.inspect(name));
  }

  list(label: string, value: string): Promise<readonly ContainerSummary[]> {
    return this.#ask((engine) => engine.list(label, value));
  }

  wait(name: string, stop: Stop): Promise<void> {
    return this.#ask((engine) => engine.wait(name, stop));
  }

  signal(name: string, signal: string): Promise<boolean> {
    return this.#ask((engine) => engine.signal(name, signal));
  }

  logs(name: string, follow: boolean, take: TakeOutput, stop: Stop): Promise<void> {
    return this.#ask((engine) => engine.logs(name, follow, take, stop));
  }

  remove(name: string): Promise<void> {
    return this.#ask((engine) => engine.remove(name));
  }

  image(reference: string): Promise<ImageState | undefined> {
    return this.#ask((engine) => engine.image(reference));
  }

  pull(reference: string, onProgress: (progress: PullProgress) => void, stop: Stop): Promise<void> {
    return this.#ask((engine) => engine.pull(reference, onProgress, stop));
  }

  removeImage(reference: string): Promise<boolean> {
    return this.#ask((engine) => engine.removeImage(reference));
  }

  async #ask<Value>(call: (engine: ContainerEngine) => Promise<Value>): Promise<Value> {
    if (this.#found === undefined) throw new EngineError('UNAVAILABLE', 'there is no container engine');
    try {
      return await call(this.#found.containers);
    } catch (error) {
      if (error instanceof EngineError && error.code === 'UNAVAILABLE') this.#doubted = true;
      throw error;
    }
  }
}
