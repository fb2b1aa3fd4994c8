import { ArtifactError, type ArtifactSource } from '../io/artifact-source.ts';
import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { Artifact } from '../protocol/artifact.ts';
import { LIMITS } from '../protocol/limits.ts';
import { shownUri } from '../protocol/shown-uri.ts';
import type { ArtifactFiles, PartFile } from './artifact-files.ts';
import { failed, firstTry, pauseMs } from './artifacts/retries.ts';
import { SYNC_BYTES } from './artifacts/trusted-bytes.ts';
import type { Progress } from './artifacts/words.ts';

/** What may be fetched over this link; by default everything. */
export interface FetchBudget {
  /** Milliseconds after which a fetch may begin or go on, if nobody else draws on the budget meanwhile; 0: now. */
  fetchWaitMs(): number;
  /** So many bytes of an artifact have come over the link. */
  spent(bytes: number): void;
}

export interface DownloadsWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly sources: readonly ArtifactSource[];
  readonly files: ArtifactFiles;
  /** No master is in reach. */
  readonly alone: () => boolean;
  /** Files that accepted runs may want. */
  readonly needed: () => ReadonlySet<string>;
  readonly budget: FetchBudget;
}

/** So often a fetch that is underway asks whether it may go on. */
const BUDGET_BYTES = 1_048_576;

/** One fetch, for all who wait for it. */
interface Download {
  readonly artifact: Artifact;
  readonly withdrawn: AbortController;
  readonly done: Promise<string>;
  waiting: number;
  /** What it has got, in use until all who wait have it. */
  got: string | undefined;
  bytes: number;
  size: number | undefined;
  trouble: string | undefined;
}

/** What is fetched under one name for all who want it at the same time: the same content, or else the same place. */
export function downloadKey({ uri, sha256 }: Artifact): string {
  return sha256 ?? uri;
}

/**
 * Fetches artifacts, each once for all who want it, two at a time. A fetch that breaks off goes on where it ended, also
 * after a restart of the agent, for as long as its source has the same content.
 */
export class ArtifactDownloads {
  readonly #world: DownloadsWorld;
  readonly #running = new Map<string, Download>();
  readonly #queue: (() => void)[] = [];
  #free: number = LIMITS.artifactFetches;
  #stopped = false;

  constructor(world: DownloadsWorld) {
    this.#world = world;
  }

  /**
   * The name of the file, once it is there whole, and in use: `unuse` it. Rejects with an ArtifactError (transient where it was given up), or with a
   * StorageError. Withdrawn by `signal`, it rejects at once; what is there stays only where others want it.
   */
  async get(artifact: Artifact, signal: AbortSignal): Promise<string> {
    const key = downloadKey(artifact);
    const before = this.#running.get(key);
    const joined = before !== undefined && !before.withdrawn.signal.aborted;
    if (joined) before.waiting++;
    const download = joined ? before : await this.#start(key, artifact, before);
    let withdraw: (() => void) | undefined;
    const withdrawn = new Promise<never>((_, reject) => {
      withdraw = () => reject(new ArtifactError('it was withdrawn', true));
      if (signal.aborted) withdraw();
      else signal.addEventListener('abort', withdraw, { once: true });
    });
    try {
      const name = await Promise.race([download.done, withdrawn]);
      this.#world.files.use(name);
      return name;
    } finally {
      if (withdraw !== undefined) signal.removeEventListener('abort', withdraw);
      if (--download.waiting === 0) {
        download.withdrawn.abort();
        this.#letGo(download);
      }
    }
  }

  #letGo(download: Download): void {
    const { got } = download;
    download.got = undefined;
    if (got !== undefined) this.#world.files.unuse(got);
  }

  progressOf(artifact: Artifact): Progress | undefined {
    const download = this.#running.get(downloadKey(artifact));
    if (download === undefined) return undefined;
    const { bytes, size, trouble } = download;
    return { uri: artifact.uri, bytes, size, trouble };
  }

  /** Ends all; parts stay, for the agent after this one. */
  stop(): void {
    this.#stopped = true;
    for (const { withdrawn } of this.#running.values()) withdrawn.abort();
  }

  /** With one who waits. One that was withdrawn ends first: both would write the same part. */
  async #start(key: string, artifact: Artifact, before: Download | undefined): Promise<Download> {
    await before?.done.catch(() => undefined);
    const other = this.#running.get(key);
    if (other !== undefined && !other.withdrawn.signal.aborted) {
      other.waiting++;
      return other;
    }
    const withdrawn = new AbortController();
    const state = { artifact, withdrawn, waiting: 1, got: undefined, bytes: 0, size: undefined, trouble: undefined };
    const download: Download = Object.assign(state, { done: Promise.resolve('') });
    const done = this.#run(key, download).finally(() => {
      if (this.#running.get(key) === download) this.#running.delete(key);
    });
    // Who waits hears of it; nobody may.
    done.catch(() => undefined);
    Object.assign(download, { done });
    this.#running.set(key, download);
    return download;
  }

  async #run(key: string, download: Download): Promise<string> {
    const { signal } = download.withdrawn;
    await this.#turn(signal);
    try {
      download.got = await this.#persist(key, download);
      const name = download.got;
      // Nobody may be waiting any more.
      if (download.waiting === 0) this.#letGo(download);
      return name;
    } catch (error) {
      const later = this.#stopped || (error instanceof ArtifactError && error.transient && !signal.aborted);
      if (!later) await this.#world.files.removePart(key).catch(() => undefined);
      throw error;
    } finally {
      this.#free++;
      this.#queue.shift()?.();
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    while (this.#free === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const leave = (): void => {
          const at = this.#queue.indexOf(wake);
          if (at >= 0) this.#queue.splice(at, 1);
          resolve();
        };
        const wake = (): void => {
          signal.removeEventListener('abort', leave);
          resolve();
        };
        this.#queue.push(wake);
        signal.addEventListener('abort', leave, { once: true });
      });
    }
    if (!signal.aborted) {
      this.#free--;
      return;
    }
    // It may have been its turn just now: then it is another's.
    if (this.#free > 0) this.#queue.shift()?.();
    throw withdrawal();
  }

  /** Until it is there, or there is no hope. */
  async #persist(key: string, download: Download): Promise<string> {
    const { clock, budget, log, alone } = this.#world;
    const { signal } = download.withdrawn;
    let tries = firstTry(clock.monotonic());
    let began = 0;
    let distrusted = false;
    for (;;) {
      for (let waitMs = budget.fetchWaitMs(); waitMs > 0; waitMs = budget.fetchWaitMs()) {
        download.trouble = 'waits: this agent has spent the bytes it may fetch for now';
        await this.#pause(waitMs, signal);
        tries = { ...tries, countedMs: clock.monotonic() };
      }
      began = download.bytes;
      try {
        return await this.#once(key, download);
      } catch (error) {
        if (signal.aborted) throw withdrawal();
        // A part of before does not fit to what came now: from the beginning, once.
        if (error instanceof Mismatch && error.resumed && !distrusted) {
          distrusted = true;
          await this.#world.files.removePart(key);
          continue;
        }
        if (!(error instanceof ArtifactError) || !error.transient) throw error;
        if (download.bytes > began) tries = firstTry(clock.monotonic());
        tries = failed(tries, clock.monotonic(), alone());
        const pause = pauseMs(tries);
        if (pause === undefined) throw givenUp(error, tries.failures);
        download.trouble = `${error.message}; again in ${Math.ceil(pause / 1_000)} s`;
        log.warn('fetch broke off', { uri: shownUri(download.artifact.uri), error: error.message, retryMs: pause });
        await this.#pause(pause, signal);
      }
    }
  }

  async #once(key: string, download: Download): Promise<string> {
    const { sources, files } = this.#world;
    const { artifact } = download;
    const { uri } = artifact;
    const source = sources.find((one) => one.takes(uri));
    if (source === undefined) throw new ArtifactError('this agent cannot read such addresses', false);
    const part = await files.openPart(key);
    let whole: { name: string; bytes: number; version: string | undefined };
    try {
      download.bytes = part.bytes;
      const resumed = part.bytes > 0;
      const reading = await source.read(uri, part.bytes, part.version, download.withdrawn.signal);
      const known = files.index.candidate(artifact);
      if (known !== undefined && reading.version === known.version) {
        files.use(known.name);
        await reading.bytes[Symbol.asyncIterator]().return?.();
        return known.name;
      }
      if (reading.from !== part.bytes || part.bytes === 0) {
        if (reading.from !== 0)
          throw new ArtifactError('the source goes on at another place than it was asked to', false);
        await part.begin(reading.version);
      }
      download.size = reading.size;
      await this.#copy(reading.bytes, part, download);
      const name = await part.end();
      checkContent(artifact, name, resumed && reading.from > 0);
      whole = { name, bytes: part.bytes, version: reading.version };
    } finally {
      await files.closePart(key, part);
    }
    await files.keepPart(key, whole.name, uri, whole.version, whole.bytes);
    return whole.name;
  }

  async #copy(bytes: AsyncIterable<Uint8Array>, part: PartFile, download: Download): Promise<void> {
    const { files, budget, needed } = this.#world;
    // Room is looked for ahead of what comes: for all of it, where the source says how much that is.
    let roomUntil = part.bytes;
    let allowedUntil = part.bytes + BUDGET_BYTES;
    for await (const chunk of bytes) {
      if (part.bytes + chunk.length > roomUntil) {
        const ahead = Math.max(chunk.length, (download.size ?? part.bytes + SYNC_BYTES) - part.bytes);
        await files.makeRoom(ahead, needed());
        roomUntil = part.bytes + ahead;
      }
      await part.append(chunk);
      budget.spent(chunk.length);
      download.bytes = part.bytes;
      download.trouble = undefined;
      if (download.withdrawn.signal.aborted) throw withdrawal();
      if (part.bytes < allowedUntil) continue;
      // It goes on from here when there is budget again.
      if (budget.fetchWaitMs() > 0)
        throw new ArtifactError('this agent has spent the bytes it may fetch for now', true);
      allowedUntil = part.bytes + BUDGET_BYTES;
    }
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        timer.cancel();
        reject(withdrawal());
      };
      const timer = this.#world.clock.after(ms, () => {
        signal.removeEventListener('abort', end);
        resolve();
      });
      if (signal.aborted) end();
      else signal.addEventListener('abort', end, { once: true });
    });
  }
}

/** Other content than was asked for. */
class Mismatch extends ArtifactError {
  readonly resumed: boolean;

  constructor(message: string, resumed: boolean) {
    super(message, false);
    this.resumed = resumed;
  }
}

function checkContent({ sha256 }: Artifact, name: string, resumed: boolean): void {
  if (sha256 !== undefined && sha256 !== name)
    throw new Mismatch(`its SHA-256 is ${name}, not ${sha256}: another file is there, or the checksum is old`, resumed);
}

function givenUp({ message }: ArtifactError, tries: number): ArtifactError {
  return new ArtifactError(`${message}; given up after ${tries} tries`, true);
}

function withdrawal(): ArtifactError {
  return new ArtifactError('it was withdrawn', true);
}
