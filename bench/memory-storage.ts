import { crc32 } from 'node:zlib';
import type { RandomAccessFile, Storage } from '../io/storage.ts';

/** A data folder in memory: for agents by the thousand, whose disks are not what is measured. */
export function memoryStorage(): Storage {
  const files = new Map<string, MemoryFile>();
  return {
    read: (path) => Promise.resolve(files.get(path)?.content()),
    replace: (path, bytes) => {
      const file = new MemoryFile();
      file.put(0, bytes);
      files.set(path, file);
      return Promise.resolve();
    },
    rename: (from, to) => {
      const file = files.get(from);
      files.delete(from);
      if (file !== undefined) files.set(to, file);
      return Promise.resolve();
    },
    list: (folder) => {
      const start = folder === '' ? '' : `${folder}/`;
      const below = [...files.keys()].filter((path) => path.startsWith(start));
      return Promise.resolve([...new Set(below.map((path) => path.slice(start.length).split('/')[0] ?? ''))].sort());
    },
    remove: (path) => {
      files.delete(path);
      return Promise.resolve();
    },
    open: (path) => {
      const file = files.get(path) ?? new MemoryFile();
      files.set(path, file);
      return Promise.resolve(file);
    },
    crc32: (bytes, seed = 0) => crc32(bytes, seed),
  };
}

/** Zeros at its end take no memory: journals are filled with them ahead. */
class MemoryFile implements RandomAccessFile {
  #bytes = new Uint8Array(0);
  #size = 0;

  content(): Uint8Array {
    const whole = new Uint8Array(this.#size);
    whole.set(this.#bytes.subarray(0, this.#size));
    return whole;
  }

  put(position: number, bytes: Uint8Array): void {
    const used = position + bytes.findLastIndex((byte) => byte !== 0) + 1;
    if (used > this.#bytes.length) {
      const grown = new Uint8Array(2 * used);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (position < this.#bytes.length) this.#bytes.set(bytes.subarray(0, this.#bytes.length - position), position);
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  size(): Promise<number> {
    return Promise.resolve(this.#size);
  }

  read(position: number, length: number): Promise<Uint8Array> {
    return Promise.resolve(this.content().subarray(position, position + length));
  }

  write(position: number, bytes: Uint8Array): Promise<void> {
    this.put(position, bytes);
    return Promise.resolve();
  }

  writeDurably(position: number, bytes: Uint8Array): Promise<void> {
    this.put(position, bytes);
    return Promise.resolve();
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  truncate(size: number): Promise<void> {
    this.#bytes = this.#bytes.slice(0, size);
    this.#size = size;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
