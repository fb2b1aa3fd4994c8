import { crc32, deflateRawSync } from 'node:zlib';

/** One entry of a zip, as nobody's tool would write it. */
export interface ZipEntry {
  readonly name: string;
  readonly content?: string | Uint8Array;
  /** As of stat(2), with the kind of file; default a plain file 0644. */
  readonly mode?: number;
  readonly deflated?: boolean;
  /** Said of it, whatever it holds. */
  readonly size?: number;
  readonly crc?: number;
  readonly method?: number;
  readonly flags?: number;
}

/** A zip (APPNOTE.TXT §4.3) of these, also of what no tool would pack. */
export function zipOf(entries: readonly ZipEntry[], end = true): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content = '', mode = 0o100644, deflated = false, flags = 0, ...said } of entries) {
    const bytes = Buffer.from(content);
    const packed = deflated ? deflateRawSync(bytes) : bytes;
    const path = Buffer.from(name);
    const about = Buffer.alloc(26);
    about.writeUInt16LE(20, 0);
    about.writeUInt16LE(flags | 0x800, 2);
    about.writeUInt16LE(said.method ?? (deflated ? 8 : 0), 4);
    about.writeUInt32LE(said.crc ?? crc32(bytes), 10);
    about.writeUInt32LE(packed.length, 14);
    about.writeUInt32LE(said.size ?? bytes.length, 18);
    about.writeUInt16LE(path.length, 22);
    files.push(Buffer.from('PK\x03\x04', 'latin1'), about, path, packed);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    // Packed on Unix, by a tool of version 3.0.
    directory.push(Buffer.from('PK\x01\x02\x1e\x03', 'latin1'), about, rest, path);
    offset += 4 + about.length + path.length + packed.length;
  }
  const listed = Buffer.concat(directory);
  const last = Buffer.alloc(22);
  last.write('PK\x05\x06', 'latin1');
  last.writeUInt16LE(entries.length, 8);
  last.writeUInt16LE(entries.length, 10);
  last.writeUInt32LE(listed.length, 12);
  last.writeUInt32LE(offset, 16);
  return Buffer.concat([...files, listed, ...(end ? [last] : [])]);
}
