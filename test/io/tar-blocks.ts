/** One entry of a tar, as nobody's tool would write it. */
export interface TarEntry {
  readonly name: string;
  /** POSIX: 0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 folder, 6 FIFO; default 0. */
  readonly type?: string;
  readonly content?: string | Uint8Array;
  readonly link?: string;
  readonly mode?: number;
  /** Said in the header, whatever follows. */
  readonly size?: number;
}

/** A tar (POSIX.1-1988) of these, also of what no tool would pack. Names up to 100 characters. */
export function tarOf(entries: readonly TarEntry[], end = true): Buffer {
  const blocks: Buffer[] = [];
  for (const { name, type = '0', content = '', link = '', mode = 0o644, size } of entries) {
    const bytes = Buffer.from(content);
    const head = Buffer.alloc(512);
    head.write(name, 0, 100, 'latin1');
    head.write(mode.toString(8).padStart(7, '0'), 100, 'latin1');
    head.write('0000000', 108, 'latin1');
    head.write('0000000', 116, 'latin1');
    head.write((size ?? bytes.length).toString(8).padStart(11, '0'), 124, 'latin1');
    head.write('00000000000', 136, 'latin1');
    head.write('        ', 148, 'latin1');
    head.write(type, 156, 'latin1');
    head.write(link, 157, 100, 'latin1');
    head.write('ustar\x0000', 257, 'latin1');
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    blocks.push(head, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  if (end) blocks.push(Buffer.alloc(1_024));
  return Buffer.concat(blocks);
}
