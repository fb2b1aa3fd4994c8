import { ArtifactError, type ArtifactSource } from '../io/artifact-source.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Digest, RunningDigest } from '../io/digest.ts';
import type { Log } from '../io/log.ts';
import { type SandboxFiller, UnpackError } from '../io/sandbox-filler.ts';
import { type Storage, StorageError } from '../io/storage.ts';
import type { Artifact } from '../protocol/artifact.ts';
import { artifactPlace } from '../protocol/artifact-place.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import type { Reason, TaskInfo } from '../protocol/task.ts';
import { ArtifactDownloads, downloadKey, type FetchBudget } from './artifact-downloads.ts';
import { ArtifactFiles } from './artifact-files.ts';
import { isShared } from './artifacts/cache-index.ts';
import { diskWords, failureWords, progressWords } from './artifacts/words.ts';
import { hasEnded, type Run } from './checkpoint/state.ts';

/** What an agent that fetches artifacts has for it. */
export interface ArtifactOptions {
  readonly sources: readonly ArtifactSource[];
  /** Of the folder in which fetched files are kept, and nothing else is. */
  readonly storage: Storage;
  readonly filler: SandboxFiller;
  readonly digest: Digest;
  readonly runningDigest: () => RunningDigest;
  /** The most that is kept of what nobody needs; default a tenth of the disk, at most LIMITS.artifactCacheBytes. */
  readonly cacheBytes?: number;
  readonly budget?: FetchBudget;
}

export interface RunArtifactsWorld {
  readonly options: ArtifactOptions | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly boot: string;
  readonly metered: boolean;
  /** No master is in reach. */
  readonly alone: () => boolean;
  /** All that were accepted. */
  readonly runs: () => Iterable<Run>;
}

export interface Unfetched {
  readonly reason: Reason;
  readonly message: string;
}

/** What takes longer than this is told. */
const FIRST_WORD_MS = 1_000;
const CACHE_SHARE = 0.1;
const ALL: FetchBudget = { fetchWaitMs: () => 0, spent: () => undefined };

/** Has what runs ask for in their sandboxes before they start. */
export class RunArtifacts {
  readonly #world: RunArtifactsWorld;
  #opening: Promise<Opened> | undefined;
  /** By task folder. */
  readonly #busy = new Map<string, AbortController>();

  constructor(world: RunArtifactsWorld) {
    this.#world = world;
  }

  /** Whether something is on its way to that task folder. */
  isBusy(folder: string): boolean {
    return this.#busy.has(folder);
  }

  /**
   * Puts all that the run asks for into the sandbox of `folder`, which is emptied first. `say`: words for whoever waits, not
   * often. Resolves to why it cannot be had, `'withdrawn'` where nobody wants it any more, undefined where it is there.
   */
  async bring(run: Run, folder: string, say: (words: string) => void): Promise<Unfetched | 'withdrawn' | undefined> {
    const { artifacts = [] } = run.info;
    const { options } = this.#world;
    if (artifacts.length === 0) return undefined;
    const withdrawn = new AbortController();
    this.#busy.set(folder, withdrawn);
    const used: string[] = [];
    try {
      if (options === undefined) return { reason: 'LAUNCH_FAILED', message: 'this agent fetches no artifacts' };
      const opened = await this.#open(options);
      const stopTelling = this.#tell(artifacts, opened.downloads, say);
      try {
        await this.#fetch(run, artifacts, opened, withdrawn, used);
      } finally {
        stopTelling();
      }
      // Durable before the start: with a policy to restart, it may have to do without a network.
      await opened.files.write();
      await this.#place(artifacts, used, folder, opened, withdrawn.signal);
      if (withdrawn.signal.aborted) return 'withdrawn';
      return undefined;
    } catch (error) {
      if (withdrawn.signal.aborted && !(error instanceof Failure)) return 'withdrawn';
      return unfetched(error);
    } finally {
      const opened = await this.#opening?.catch(() => undefined);
      for (const name of used) if (name !== undefined) opened?.files.unuse(name);
      if (this.#busy.get(folder) === withdrawn) this.#busy.delete(folder);
    }
  }

  /** Nobody wants to start that any more. */
  withdraw(folder: string): void {
    this.#busy.get(folder)?.abort();
  }

  /** It was handed over: with policy `never` it will not be started again. */
  started(run: Run): void {
    if (run.info.restart === 'never') this.ended(run);
  }

  /** The run will never be started again. */
  ended({ run, info }: Run): void {
    if (info.artifacts === undefined || this.#opening === undefined) return;
    void this.#opening
      .then(({ files }) => files.release(run))
      .catch((error: unknown) => this.#world.log.warn('fetched files not released', { run, error: String(error) }));
  }

  stop(): void {
    void this.#opening?.then(({ downloads }) => downloads.stop()).catch(() => undefined);
    for (const withdrawn of this.#busy.values()) withdrawn.abort();
  }

  /** With the first task that wants it: most agents never do. A disk that refuses may have room the next time. */
  #open(options: ArtifactOptions): Promise<Opened> {
    if (this.#opening === undefined) {
      const opening = this.#opened(options);
      this.#opening = opening;
      opening.catch(() => {
        this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  async #opened({
    sources,
    storage,
    filler,
    digest,
    runningDigest,
    cacheBytes,
    budget = ALL,
  }: ArtifactOptions): Promise<Opened> {
    const { clock, log, boot, alone } = this.#world;
    const { totalBytes } = await filler.space();
    const capBytes = cacheBytes ?? Math.min(LIMITS.artifactCacheBytes, Math.floor(totalBytes * CACHE_SHARE));
    const sha256 = (text: string): string => digest.sha256(new TextEncoder().encode(text));
    const live = [...this.#world.runs()].filter((run) => !hasEnded(run));
    const files = await ArtifactFiles.open(
      { storage, filler, digest: runningDigest, sha256, log, boot, capBytes },
      new Set(live.map(({ run }) => run)),
      new Set(live.flatMap(({ info }) => (info.artifacts ?? []).map(downloadKey))),
    );
    const needed = (): ReadonlySet<string> => this.#needed(files);
    return { files, downloads: new ArtifactDownloads({ clock, log, sources, files, alone, needed, budget }) };
  }

  /** What accepted runs have not fetched yet, and are about to find here. */
  #needed(files: ArtifactFiles): Set<string> {
    const needed = new Set<string>();
    for (const run of this.#world.runs()) {
      if (hasEnded(run)) continue;
      for (const [at, artifact] of (run.info.artifacts ?? []).entries()) {
        const name = files.index.find(run.run, at, artifact);
        const starts = run.info.restart !== 'never' || run.latest === undefined || run.latest.state === 'TASK_STARTING';
        if (name !== undefined && starts) needed.add(name);
      }
    }
    return needed;
  }

  async #fetch(
    { run }: Run,
    artifacts: readonly Artifact[],
    { files, downloads }: Opened,
    withdrawn: AbortController,
    used: string[],
  ): Promise<void> {
    const failures: unknown[] = [];
    await Promise.all(
      artifacts.map(async (artifact, at) => {
        try {
          const known = files.index.find(run, at, artifact);
          if (known !== undefined) files.use(known);
          const name = known ?? (await downloads.get(artifact, withdrawn.signal));
          used[at] = name;
          files.index.take(run, at, name, isShared(artifact));
        } catch (error) {
          // Of several the first says why: the others end because of it.
          failures.push(about(artifact, error, withdrawn.signal));
          withdrawn.abort();
        }
      }),
    );
    const [first] = failures;
    if (first instanceof Failure && !first.withdrawn) throw first;
    if (first !== undefined) throw new ArtifactError('it was withdrawn', true);
  }

  /** In their order: what is named later is put over what was unpacked before. */
  async #place(
    artifacts: readonly Artifact[],
    used: readonly string[],
    folder: string,
    { files }: Opened,
    signal: AbortSignal,
  ): Promise<void> {
    const { options } = this.#world;
    if (options === undefined) return;
    const { filler } = options;
    const kept = new Map(files.index.files.map(({ name, bytes }) => [name, bytes]));
    await filler.clear(folder);
    for (const [at, artifact] of artifacts.entries()) {
      const name = used[at] ?? '';
      const place = artifactPlace(artifact);
      try {
        if (signal.aborted) return;
        if (place === undefined) throw new ArtifactError('it ends in no file name: give it a path', false);
        await files.makeRoom(kept.get(name) ?? 0, this.#needed(files));
        if (!artifact.extract) await filler.copy(name, folder, place, artifact.executable);
        else {
          const { freeBytes } = await filler.space();
          const bytes = Math.min(LIMITS.unpackedBytes, Math.max(0, freeBytes - LIMITS.diskReserveBytes));
          await filler.unpack(name, folder, place, { bytes, entries: LIMITS.unpackedEntries }, signal);
        }
      } catch (error) {
        throw about(artifact, error, signal);
      }
    }
    if (!signal.aborted) await filler.handOver(folder);
  }

  /** By the clock, at a rate that suits the link: each word crosses it, and is kept by the masters. */
  #tell(artifacts: readonly Artifact[], downloads: ArtifactDownloads, say: (words: string) => void): () => void {
    const { clock, metered } = this.#world;
    const everyMs = metered ? TIMES.artifactWordMeteredMs : TIMES.artifactWordMs;
    let timer: Timer | undefined;
    const tell = (): void => {
      const waited = artifacts.flatMap((artifact) => downloads.progressOf(artifact) ?? []);
      const words = progressWords(waited);
      if (words !== undefined) say(words);
      timer = clock.after(everyMs, tell);
    };
    timer = clock.after(metered ? TIMES.artifactWordMs : FIRST_WORD_MS, tell);
    return () => timer?.cancel();
  }
}

interface Opened {
  readonly files: ArtifactFiles;
  readonly downloads: ArtifactDownloads;
}

/** Of which artifact. */
class Failure extends Error {
  readonly uri: string;
  readonly withdrawn: boolean;

  constructor(uri: string, withdrawn: boolean, because: { readonly cause: unknown }) {
    super(String(because.cause), because);
    this.uri = uri;
    this.withdrawn = withdrawn;
  }
}

function about({ uri }: Artifact, cause: unknown, { aborted }: AbortSignal): Failure {
  return new Failure(uri, aborted, { cause });
}

function unfetched(error: unknown): Unfetched {
  const { uri, cause } = error instanceof Failure ? error : { uri: undefined, cause: error };
  const words = (why: string): string => (uri === undefined ? `artifacts: ${why}` : failureWords(uri, why));
  if (cause instanceof StorageError) {
    const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT';
    return { reason: full ? 'AGENT_DISK_FULL' : 'LAUNCH_FAILED', message: words(diskWords(cause.code)) };
  }
  if (cause instanceof UnpackError) return { reason: 'ARTIFACT_FETCH_FAILED', message: words(`it ${cause.message}`) };
  if (cause instanceof ArtifactError)
    return {
      reason: cause.transient ? 'ARTIFACT_UNREACHABLE' : 'ARTIFACT_FETCH_FAILED',
      message: words(cause.message),
    };
  return { reason: 'LAUNCH_FAILED', message: words(cause instanceof Error ? cause.message : String(cause)) };
}

/** Why an agent takes no such task; undefined where it does. */
export function artifactBar(
  { artifacts = [] }: Pick<TaskInfo, 'artifacts'>,
  options: ArtifactOptions | undefined,
  agent: string,
): Fault | undefined {
  if (artifacts.length === 0) return undefined;
  if (options === undefined)
    return new Fault('UNSUPPORTED', `agent ${agent} fetches no artifacts: it stands for a device`, 'Leave them out.');
  const strange = artifacts.find(({ uri }) => !options.sources.some((source) => source.takes(uri)));
  if (strange === undefined) return undefined;
  const kind = strange.uri.slice(0, strange.uri.indexOf(':'));
  return new Fault('UNSUPPORTED', `agent ${agent} fetches nothing by ${kind}:`, 'Its version may be too old for that.');
}
