import type { Block } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { padded, tarEnd } from './tar-header.ts';

/** A member of a tar: what is before its content, and where that is. */
export interface Member {
  readonly header: Uint8Array;
  readonly file?: { readonly path: string; readonly size: number };
}

/** Some bytes of a block: as they are, or of a file. */
export type Segment =
  | { readonly bytes: Uint8Array }
  | { readonly path: string; readonly offset: number; readonly length: number };

export interface CutBlock extends Block {
  readonly segments: readonly Segment[];
}

/** What cutting takes of the world. */
export interface CutterWorld {
  /** Exactly so many bytes of a file; a fault CONFLICT where it has become shorter. */
  readonly read: (path: string, offset: number, length: number) => Promise<Uint8Array | Fault>;
  readonly sha256: (bytes: Uint8Array) => string;
}

/** A member of up to so many bytes shares a block with its neighbours. */
const SMALL = LIMITS.chunkBytes / 2;
/** Of 16: how often a group of small members ends behind one of them, whatever is before and behind that. */
const ENDS = 4;

/**
 * Cuts a tar into blocks of at most LIMITS.chunkBytes, at the boundaries of members: a large one has blocks of its own.
 * Small ones share a block; where that ends is told by a member itself, so that a change leaves the blocks of others as
 * they are but for its neighbours.
 */
export async function cutTar(members: readonly Member[], world: CutterWorld): Promise<CutBlock[] | Fault> {
  const blocks: CutBlock[] = [];
  let group: Segment[] = [];
  const cut = async (segments: readonly Segment[]): Promise<Fault | undefined> => {
    const block = segments.length === 0 ? undefined : await blockOf(segments, world);
    if (block instanceof Fault) return block;
    if (block !== undefined) blocks.push(block);
    return undefined;
  };
  const endGroup = (): Promise<Fault | undefined> => {
    const ended = group;
    group = [];
    return cut(ended);
  };
  for (const member of members) {
    const segments = segmentsOf(member);
    if (lengthOf(segments) > SMALL) {
      let fault = await endGroup();
      for (const piece of pieces(segments)) fault ??= await cut(piece);
      if (fault !== undefined) return fault;
      continue;
    }
    if (lengthOf(group) + lengthOf(segments) > LIMITS.chunkBytes) {
      const fault = await endGroup();
      if (fault !== undefined) return fault;
    }
    group.push(...segments);
    const bytes = await bytesOf(segments, world);
    if (bytes instanceof Fault) return bytes;
    if (Number.parseInt(world.sha256(bytes).slice(0, 1), 16) < ENDS) {
      const fault = await endGroup();
      if (fault !== undefined) return fault;
    }
  }
  return (await endGroup()) ?? (await cut([{ bytes: tarEnd() }])) ?? blocks;
}

/** Cuts a single file into blocks. */
export async function cutFile(path: string, size: number, world: CutterWorld): Promise<CutBlock[] | Fault> {
  const blocks: CutBlock[] = [];
  for (const segments of pieces(size === 0 ? [] : [{ path, offset: 0, length: size }])) {
    const block = await blockOf(segments, world);
    if (block instanceof Fault) return block;
    blocks.push(block);
  }
  return blocks;
}

/** The bytes of a block, read again; a fault CONFLICT where they are others by now. */
export async function readBlock({ hash, segments }: CutBlock, world: CutterWorld): Promise<Uint8Array | Fault> {
  const bytes = await bytesOf(segments, world);
  if (bytes instanceof Fault || world.sha256(bytes) === hash) return bytes;
  const [path = 'it'] = segments.flatMap((segment) => ('path' in segment ? [segment.path] : []));
  return changed(path);
}

export function changed(path: string): Fault {
  return new Fault(
    'CONFLICT',
    `${path} has changed while it was uploaded`,
    'Run the command again once nobody writes there.',
  );
}

async function blockOf(segments: readonly Segment[], world: CutterWorld): Promise<CutBlock | Fault> {
  const bytes = await bytesOf(segments, world);
  return bytes instanceof Fault ? bytes : { hash: world.sha256(bytes), size: bytes.length, segments };
}

async function bytesOf(segments: readonly Segment[], { read }: CutterWorld): Promise<Uint8Array | Fault> {
  const whole = new Uint8Array(lengthOf(segments));
  let at = 0;
  for (const segment of segments) {
    const bytes = 'bytes' in segment ? segment.bytes : await read(segment.path, segment.offset, segment.length);
    if (bytes instanceof Fault) return bytes;
    whole.set(bytes, at);
    at += bytes.length;
  }
  return whole;
}

function segmentsOf({ header, file }: Member): Segment[] {
  const segments: Segment[] = [{ bytes: header }];
  if (file === undefined || file.size === 0) return segments;
  segments.push({ path: file.path, offset: 0, length: file.size });
  const fill = padded(file.size) - file.size;
  if (fill > 0) segments.push({ bytes: new Uint8Array(fill) });
  return segments;
}

/** Cut at every LIMITS.chunkBytes. */
function* pieces(segments: readonly Segment[]): Generator<Segment[]> {
  let piece: Segment[] = [];
  let room: number = LIMITS.chunkBytes;
  for (const segment of segments) {
    for (let at = 0; at < sizeOf(segment); ) {
      const length = Math.min(room, sizeOf(segment) - at);
      piece.push(
        'bytes' in segment
          ? { bytes: segment.bytes.subarray(at, at + length) }
          : { path: segment.path, offset: segment.offset + at, length },
      );
      at += length;
      room -= length;
      if (room > 0) continue;
      yield piece;
      piece = [];
      room = LIMITS.chunkBytes;
    }
  }
  if (piece.length > 0) yield piece;
}

function sizeOf(segment: Segment): number {
  return 'bytes' in segment ? segment.bytes.length : segment.length;
}

function lengthOf(segments: readonly Segment[]): number {
  return segments.reduce((all, segment) => all + sizeOf(segment), 0);
}
