import { EngineError, type PullProgress } from '../containers.ts';
import { record } from './engine-requests.ts';

/** A line about one part of an image is a few hundred bytes. */
const LINE_LENGTH = 65_536;
const LAYERS = 512;
const WORDS_LENGTH = 300;
/** What no second try changes. Engines tell these apart by words alone. */
const FOR_GOOD =
  /manifest unknown|name unknown|not found|no such image|denied|unauthorized|invalid reference|repository name|no matching manifest|short-name/i;

/** Reads what an engine says while it pulls: JSON, a line each (Docker Engine API, ImageCreate). */
export class PullReader {
  readonly #onProgress: (progress: PullProgress) => void;
  readonly #layers = new Map<string, { done: number; total: number }>();
  #rest = '';
  #failure: string | undefined;

  constructor(onProgress: (progress: PullProgress) => void) {
    this.#onProgress = onProgress;
  }

  add(piece: Buffer): void {
    const lines = (this.#rest + piece.toString('utf8')).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LINE_LENGTH) throw new EngineError('REFUSED', 'the engine sends lines without end');
    for (const line of lines) this.#read(line);
  }

  /** Throws what went wrong: it comes in the answer, after the status. */
  end(): void {
    this.#read(this.#rest);
    this.#rest = '';
    if (this.#failure !== undefined) throw new EngineError(meaningOf(this.#failure), this.#failure);
  }

  /** A refusal before any progress, in the same terms. */
  meaning(error: EngineError): EngineError {
    if (error.code === 'STOPPED' || error.code === 'UNAVAILABLE') return error;
    return new EngineError(meaningOf(error.message), error.message, error);
  }

  #read(line: string): void {
    if (line.trim() === '') return;
    let said: Readonly<Record<string, unknown>>;
    try {
      said = record(JSON.parse(line));
    } catch {
      return;
    }
    const { status, id, error, progressDetail } = said;
    if (typeof error === 'string') this.#failure = error.slice(0, WORDS_LENGTH);
    if (typeof status !== 'string' && typeof said['stream'] !== 'string') return;
    const { current, total } = record(progressDetail);
    if (typeof id === 'string' && (this.#layers.has(id) || this.#layers.size < LAYERS)) this.#count(id, current, total);
    const words = (typeof status === 'string' ? status : String(said['stream'])).trim().slice(0, WORDS_LENGTH);
    let doneBytes = 0;
    let totalBytes = 0;
    for (const layer of this.#layers.values()) {
      doneBytes += layer.done;
      totalBytes += layer.total;
    }
    this.#onProgress({ doneBytes, totalBytes, words });
  }

  /** A layer that is there, or unpacked, has no bytes to tell any more: what was told before stays. */
  #count(id: string, current: unknown, total: unknown): void {
    if (typeof current !== 'number' || typeof total !== 'number') return;
    this.#layers.set(id, { done: Math.min(current, total), total });
  }
}

function meaningOf(words: string): 'NOT_FOUND' | 'FAILED' {
  return FOR_GOOD.test(words) ? 'NOT_FOUND' : 'FAILED';
}
