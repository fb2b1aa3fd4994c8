import {
  type ContainerEngine,
  type ContainerSpec,
  type ContainerState,
  EngineError,
  type PullProgress,
  type Stop,
  type TakeOutput,
} from '../../io/containers.ts';

/** What a simulated container does when it starts: its first argument, as JSON. */
export interface SimulatedContainer {
  readonly stdout?: string;
  readonly stderr?: string;
  /** Default 0. */
  readonly code?: number;
  /** It ends by a signal alone. */
  readonly stays?: boolean;
  readonly memoryBytes?: number;
  /** Writes the file at that path of its own view. */
  readonly show?: string;
}

interface Made {
  readonly spec: ContainerSpec;
  readonly output: { readonly stream: 'stdout' | 'stderr'; readonly bytes: Uint8Array }[];
  state: ContainerState['state'];
  exitCode: number;
  outOfMemory: boolean;
  readonly changed: Set<() => void>;
}

/** An engine in memory, whose containers do at once what they do. It may be out of reach, and so may its registry. */
export class SimulatedEngine implements ContainerEngine {
  /** Nobody answers. */
  down = false;
  /** Images that can be pulled; what a pull ends with instead. */
  readonly registry = new Set<string>();
  pullFailure: EngineError | undefined;
  /** Files of the machine, by path. */
  readonly files = new Map<string, string>();
  readonly #images = new Set<string>();
  readonly #containers = new Map<string, Made>();

  constructor(...images: readonly string[]) {
    for (const image of images) this.#images.add(image);
  }

  version() {
    return this.#answer(() => ({ engine: 'podman' as const, version: '0-simulated' }));
  }

  create(spec: ContainerSpec): Promise<'created' | 'exists'> {
    return this.#answer(() => {
      if (this.#containers.has(spec.name)) return 'exists';
      if (!this.#images.has(spec.image)) throw new EngineError('NOT_FOUND', `no such image: ${spec.image}`);
      const fresh = { state: 'created', exitCode: 0, outOfMemory: false } as const;
      this.#containers.set(spec.name, { spec, output: [], ...fresh, changed: new Set() });
      return 'created';
    });
  }

  start(name: string): Promise<void> {
    return this.#answer(() => {
      const made = this.#containers.get(name);
      if (made === undefined) throw new EngineError('NOT_FOUND', `no such container: ${name}`);
      if (made.state !== 'created') return;
      const does = JSON.parse(made.spec.argv[0] ?? '{}') as SimulatedContainer;
      made.state = 'running';
      const shown = does.show === undefined ? '' : this.#fileOf(made.spec, does.show);
      for (const [stream, text] of [
        ['stdout', (does.stdout ?? '') + shown] as const,
        ['stderr', does.stderr ?? ''] as const,
      ])
        if (text !== '') made.output.push({ stream, bytes: new TextEncoder().encode(text) });
      const { memoryBytes = Number.POSITIVE_INFINITY } = made.spec.limits;
      if ((does.memoryBytes ?? 0) > memoryBytes) this.#end(made, 137, true);
      else if (does.stays !== true) this.#end(made, does.code ?? 0);
    });
  }

  inspect(name: string): Promise<ContainerState | undefined> {
    return this.#answer(() => {
      const made = this.#containers.get(name);
      if (made === undefined) return undefined;
      const { state, exitCode, outOfMemory, spec } = made;
      return { state, exitCode, outOfMemory, labels: spec.labels, pid: state === 'running' ? 100 : 0 };
    });
  }

  list(label: string, value: string) {
    return this.#answer(() =>
      [...this.#containers.values()]
        .map(({ spec: { name, labels } }) => ({ name, labels }))
        .filter(({ labels }) => labels[label] === value),
    );
  }

  async wait(name: string, stop: Stop): Promise<void> {
    await this.#answer(() => undefined);
    for (;;) {
      const made = this.#containers.get(name);
      if (stop.stopped) throw new EngineError('STOPPED', 'asked to stop');
      if (made === undefined) throw new EngineError('NOT_FOUND', `no such container: ${name}`);
      if (made.state === 'exited') return;
      await this.#change(made, stop);
    }
  }

  signal(name: string, signal: string): Promise<boolean> {
    return this.#answer(() => {
      const made = this.#containers.get(name);
      if (made?.state !== 'running') return false;
      if (signal === 'SIGKILL' || signal === 'SIGTERM') this.#end(made, signal === 'SIGKILL' ? 137 : 143);
      return true;
    });
  }

  async logs(name: string, follow: boolean, take: TakeOutput, stop: Stop): Promise<void> {
    const made = await this.#answer(() => this.#containers.get(name));
    if (made === undefined) throw new EngineError('NOT_FOUND', `no such container: ${name}`);
    for (let next = 0; ; ) {
      for (; next < made.output.length; next++) {
        const piece = made.output[next];
        if (piece !== undefined) await take(piece.stream, piece.bytes);
      }
      if (stop.stopped) throw new EngineError('STOPPED', 'asked to stop');
      if (!follow || made.state === 'exited') return;
      await this.#change(made, stop);
    }
  }

  remove(name: string): Promise<void> {
    return this.#answer(() => {
      const made = this.#containers.get(name);
      this.#containers.delete(name);
      if (made !== undefined) this.#end(made, 137);
    });
  }

  image(reference: string) {
    return this.#answer(() => (this.#images.has(reference) ? { id: `sha256:${reference}`, bytes: 1 } : undefined));
  }

  pull(reference: string, onProgress: (progress: PullProgress) => void, stop: Stop): Promise<void> {
    return this.#answer(() => {
      if (stop.stopped) throw new EngineError('STOPPED', 'asked to stop');
      onProgress({ doneBytes: 0, totalBytes: 0, words: `pulling ${reference}` });
      if (this.pullFailure !== undefined) throw this.pullFailure;
      if (!this.registry.has(reference)) throw new EngineError('NOT_FOUND', `manifest unknown: ${reference}`);
      this.#images.add(reference);
    });
  }

  removeImage(reference: string): Promise<boolean> {
    return this.#answer(() => {
      const used = [...this.#containers.values()].some(({ spec }) => spec.image === reference);
      return !used && this.#images.delete(reference);
    });
  }

  /** Later, as everything that comes over a socket. */
  async #answer<Value>(work: () => Value): Promise<Value> {
    await Promise.resolve();
    if (this.down) throw new EngineError('UNAVAILABLE', 'nobody answers');
    return work();
  }

  #end(made: Made, code: number, outOfMemory = false): void {
    if (made.state !== 'exited') Object.assign(made, { state: 'exited', exitCode: code, outOfMemory });
    for (const tell of [...made.changed]) tell();
  }

  async #change(made: Made, stop: Stop): Promise<void> {
    await new Promise<void>((resolve) => {
      const tell = (): void => {
        made.changed.delete(tell);
        resolve();
      };
      made.changed.add(tell);
      stop.onStop(tell);
    });
  }

  #fileOf({ mounts }: ContainerSpec, path: string): string {
    const mount = mounts.find(({ target }) => path.startsWith(`${target}/`));
    return mount === undefined ? '' : (this.files.get(mount.source + path.slice(mount.target.length)) ?? '');
  }
}
