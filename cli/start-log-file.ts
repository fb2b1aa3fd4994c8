import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Bytes of one log file; the one before it is kept beside it. */
const MOST_BYTES = 4 * 1_048_576;

/** A log file that stays small: at its limit it becomes `<path>.old`, and a new one begins. */
export class LogFile {
  readonly #path: string;
  #file: number;
  #size: number;

  /** Opens the file, private to this user, or makes it and its folder. Throws what the system says. */
  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#file = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#file).size;
  }

  /** Appends. A full disk loses what is written, and nothing else. */
  write(data: Uint8Array): void {
    try {
      if (this.#size > 0 && this.#size + data.length > MOST_BYTES) this.#turn();
      this.#size += writeSync(this.#file, data);
    } catch {
      // A log that cannot be written is no reason to stop the cluster.
    }
  }

  close(): void {
    closeSync(this.#file);
  }

  #turn(): void {
    renameSync(this.#path, `${this.#path}.old`);
    closeSync(this.#file);
    this.#file = openSync(this.#path, 'a', 0o600);
    this.#size = 0;
  }
}
