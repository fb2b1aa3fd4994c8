import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export interface LogFileOptions {
  /** Bytes of one log file; the one before it is kept beside it. Default 4 MB. */
  readonly mostBytes?: number;
  /** Bytes that are gathered before anything is written. Default 0: everything at once. */
  readonly gatherBytes?: number;
}

const MOST_BYTES = 4 * 1_048_576;

/** A log file that stays small: at its limit it becomes `<path>.old`, and a new one begins. */
export class LogFile {
  readonly #path: string;
  readonly #mostBytes: number;
  readonly #gatherBytes: number;
  #file: number;
  #size: number;
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  #dropped = 0;

  /** Opens the file, private to this user, or makes it and its folder. Throws what the system says. */
  constructor(path: string, { mostBytes = MOST_BYTES, gatherBytes = 0 }: LogFileOptions = {}) {
    this.#path = path;
    this.#mostBytes = mostBytes;
    this.#gatherBytes = gatherBytes;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#file = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#file).size;
  }

  /** Pieces that the disk did not take. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Appends, or gathers until there is enough to write. A full disk loses what is written, and nothing else. */
  write(data: Uint8Array): void {
    this.#gathered.push(data);
    this.#gatheredBytes += data.length;
    if (this.#gatheredBytes >= this.#gatherBytes) this.flush();
  }

  /** Writes what was gathered. */
  flush(): void {
    if (this.#gatheredBytes === 0) return;
    const pieces = this.#gathered;
    const whole = Buffer.concat(pieces);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    try {
      if (this.#size > 0 && this.#size + whole.length > this.#mostBytes) this.#turn();
      this.#size += writeSync(this.#file, whole);
    } catch {
      // A log that cannot be written is no reason to stop.
      this.#dropped += pieces.length;
    }
  }

  close(): void {
    this.flush();
    closeSync(this.#file);
  }

  #turn(): void {
    if (existsSync(this.#path)) renameSync(this.#path, `${this.#path}.old`);
    // Closed once there is another: a full disk may refuse that, and the number of a closed file is soon another file's.
    const next = openSync(this.#path, 'a', 0o600);
    closeSync(this.#file);
    this.#file = next;
    this.#size = 0;
  }
}
