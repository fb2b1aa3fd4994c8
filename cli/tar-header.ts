import { Header } from 'tar/header';
import { Pax } from 'tar/pax';

/** What a tar says of one member. */
export interface TarEntry {
  /** Relative, with `/`, without one at its end. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  /** Permission bits. */
  readonly mode: number;
  /** Bytes of a file; 0 otherwise. */
  readonly size: number;
  /** Of a link. */
  readonly target?: string;
}

/** A tar is made of these. */
const TAR_BLOCK = 512;
const TYPES = { file: 'File', link: 'SymbolicLink', folder: 'Directory' } as const;

/**
 * The bytes before a member's content: without owner and with time 0, so that the same folder is the same bytes on every
 * machine and every day. The content follows, filled up as {@link padded} says.
 */
export function tarHeader({ path, kind, mode, size, target }: TarEntry): Uint8Array {
  const name = kind === 'folder' ? `${path}/` : path;
  const linkpath = target === undefined ? {} : { linkpath: target };
  const header = new Header({
    path: name,
    type: TYPES[kind],
    mode,
    size,
    mtime: new Date(0),
    uid: 0,
    gid: 0,
    ...linkpath,
  });
  const block = new Uint8Array(TAR_BLOCK);
  const isWhole = !header.encode(Buffer.from(block.buffer));
  if (isWhole) return block;
  const pax = new Pax({ path: name, ...linkpath }).encode();
  const whole = new Uint8Array(pax.length + TAR_BLOCK);
  whole.set(pax);
  whole.set(block, pax.length);
  return whole;
}

/** Up to the next multiple of 512. */
export function padded(size: number): number {
  return Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
}

/** What ends a tar. */
export function tarEnd(): Uint8Array {
  return new Uint8Array(2 * TAR_BLOCK);
}
