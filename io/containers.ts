/**
 * An engine that runs containers: Docker, Podman, or whatever else speaks their API. What it was told outlives this
 * process, and is found again by its name. Every call rejects with an {@link EngineError}.
 */
export interface ContainerEngine {
  /** Who answers. */
  version(): Promise<EngineVersion>;
  /** Makes a container, which does not start by that. Of those who make one under the same name, one does: the others hear `exists`. */
  create(spec: ContainerSpec): Promise<'created' | 'exists'>;
  /** Starts a container that was made; nothing happens where it runs. */
  start(name: string): Promise<void>;
  inspect(name: string): Promise<ContainerState | undefined>;
  /** Those with that label, in whatever state. */
  list(label: string, value: string): Promise<readonly ContainerSummary[]>;
  /** Resolves once the container does not run: `inspect` says how it ended. */
  wait(name: string, stop: Stop): Promise<void>;
  /** To its main process. False where it does not run. */
  signal(name: string, signal: string): Promise<boolean>;
  /**
   * Everything that it has written, from its first byte, and with `follow` what it goes on to write, until it ends. The
   * next bytes wait for `take`. The order of the bytes of one stream is kept, that between the two is not.
   */
  logs(name: string, follow: boolean, take: TakeOutput, stop: Stop): Promise<void>;
  /** Ends it at once if it runs, and removes it with all that it alone has; no error where there is none. */
  remove(name: string): Promise<void>;
  /** As it is stored here; undefined where it is not. */
  image(reference: string): Promise<ImageState | undefined>;
  /**
   * Fetches an image from its registry, with what the engine itself knows of accounts there. Parts that came whole stay,
   * also when the rest fails: asked again, it goes on from them.
   */
  pull(reference: string, onProgress: (progress: PullProgress) => void, stop: Stop): Promise<void>;
  /** Removes the name, and the image where it has no other. False where there is none, or a container needs it. */
  removeImage(reference: string): Promise<boolean>;
}

export interface EngineVersion {
  readonly engine: 'docker' | 'podman';
  readonly version: string;
}

/** Asks a call that lasts to end: it rejects with `STOPPED`. */
export interface Stop {
  readonly stopped: boolean;
  onStop(listener: () => void): void;
}

export interface ContainerSpec extends ContainerStart {
  /** `[A-Za-z0-9][A-Za-z0-9_.-]*` */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What runs in a container, and what of the machine it sees. It is never privileged. */
export interface ContainerStart {
  readonly image: string;
  /** In place of the image's command; empty: the image's own. The image's entry point stays. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Default the image's. */
  readonly workdir?: string;
  readonly user?: string;
  readonly network: 'host' | 'bridge' | 'none';
  /** Of the machine, to ports of the container; only on a bridge. */
  readonly ports: readonly { readonly host: number; readonly container: number }[];
  readonly mounts: readonly ContainerMount[];
  /** Absolute paths below `/dev`. */
  readonly devices: readonly string[];
  readonly limits: ContainerLimits;
}

export interface ContainerMount {
  /** Absolute, on the machine: it must exist. */
  readonly source: string;
  /** Absolute, in the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** Of all processes together. Absent: no limit. */
export interface ContainerLimits {
  /** Thousandths of a CPU: its share where everybody wants more than there is. */
  readonly cpuShare?: number;
  /** Thousandths of a CPU: the most it gets. */
  readonly cpuMost?: number;
  /** Swap included. */
  readonly memoryBytes?: number;
  readonly processes?: number;
}

export interface ContainerState {
  readonly labels: Readonly<Record<string, string>>;
  /** `created`: it has never run. */
  readonly state: 'created' | 'running' | 'exited';
  /** Of its main process; 0 where it does not run. */
  readonly pid: number;
  /** As a shell gives it. */
  readonly exitCode: number;
  /** The kernel ended a process of it, which had reached the limit. */
  readonly outOfMemory: boolean;
}

export interface ContainerSummary {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type TakeOutput = (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void>;

export interface ImageState {
  readonly id: string;
  readonly bytes: number;
}

/** How far a pull is, over the parts that are known by now. */
export interface PullProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** The engine's last word about it. */
  readonly words: string;
}

/**
 * `UNAVAILABLE`: nobody answers, or the connection broke: ask again. `STOPPED`: asked to. `NOT_FOUND`: no such
 * container or image, here or in the registry. `REFUSED`: the engine will not, and would not if asked again.
 * `FAILED`: it could not this time.
 */
export type EngineErrorCode = 'UNAVAILABLE' | 'STOPPED' | 'NOT_FOUND' | 'REFUSED' | 'FAILED';

export class EngineError extends Error {
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'EngineError';
    this.code = code;
  }
}

/** A {@link Stop}, and the way to ask. */
export class StopRequest implements Stop {
  readonly #listeners: (() => void)[] = [];
  stopped = false;

  onStop(listener: () => void): void {
    if (this.stopped) listener();
    else this.#listeners.push(listener);
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    for (const listener of this.#listeners.splice(0)) listener();
  }
}
