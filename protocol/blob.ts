import * as v from 'valibot';
import { Sha256 } from './artifact.ts';
import { check, cut, decode, encode } from './envelope.ts';
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';

/** Some bytes, known by their SHA-256 in hexadecimal. */
export interface Block {
  readonly hash: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * An uploaded file, or folder as a tar: its blocks in order, in lists, under a root. All of them are blocks, stored and
 * sent alike; the SHA-256 of the root is the blob's name, so that whoever has the name can verify everything.
 */
export interface Manifest {
  readonly blob: string;
  /** Bytes of the content. */
  readonly size: number;
  readonly root: Uint8Array;
  /** CBOR: `[[hash, size], …]`. */
  readonly lists: readonly Uint8Array[];
}

/** What a root says. */
export interface Root {
  readonly size: number;
  /** `size` of each: bytes of the content that it lists. */
  readonly lists: readonly Block[];
}

const Size = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LIMITS.uploadBytes));
const Entries = v.pipe(v.array(v.tuple([Sha256, Size])), v.maxLength(LIMITS.blocksPerList));
const RootSchema = v.object({ size: Size, lists: Entries });

const URI = 'blob:';

/** `blob:<sha256>`, as an artifact names it. */
export function blobUri(blob: string): string {
  return `${URI}${blob}`;
}

/** The blob of an artifact's URI; undefined where it is none. */
export function blobOf(uri: string): string | undefined {
  return uri.startsWith(URI) ? uri.slice(URI.length) : undefined;
}

/** Names the blob that consists of these blocks. Fault TOO_LARGE where it is over LIMITS.uploadBytes, or in too many pieces. */
export function manifestOf(blocks: readonly Block[], sha256: (bytes: Uint8Array) => string): Manifest | Fault {
  const size = sum(blocks);
  if (size > LIMITS.uploadBytes) return new Fault('TOO_LARGE', tooLarge(size), TOO_LARGE_HINT);
  const parts = blocks.length === 0 ? [] : cut(blocks, Number.POSITIVE_INFINITY, LIMITS.blocksPerList);
  if (blocks.length > LIMITS.uploadBlocks)
    return new Fault('TOO_LARGE', tooManyPieces(), 'Pack it into one file (tar), and send that.');
  const lists = parts.map((part) => encode(part.map(entryOf), 'cbor'));
  const entries = parts.map((part, at) => [sha256(lists[at] ?? new Uint8Array()), sum(part)]);
  const root = encode({ size, lists: entries }, 'cbor');
  return { blob: sha256(root), size, root, lists };
}

/** What is said of an upload of so many bytes. */
export function tooLarge(size: number): string {
  return `${(size / 1_048_576).toFixed(1)} MB; an upload may have ${LIMITS.uploadBytes / 1_048_576} MB`;
}

/** What is said of an upload that is cut too small. */
export function tooManyPieces(): string {
  return `it is in more than ${LIMITS.uploadBlocks} pieces`;
}

/** What to do about it. */
export const TOO_LARGE_HINT = 'Leave out what the task does not need, or let it fetch the rest from a web server.';

/** Reads a root: a fault where it is none, or does not add up. */
export function readRoot(bytes: Uint8Array): Root | Fault {
  const root = readAs(RootSchema, bytes);
  if (root instanceof Fault) return root;
  const lists = root.lists.map(blockOf);
  return sum(lists) === root.size ? { size: root.size, lists } : new Fault('BAD_SHAPE', 'the root does not add up');
}

/** Reads one list of a root, which says how many bytes it lists. */
export function readList(bytes: Uint8Array, size: number): Block[] | Fault {
  const entries = readAs(Entries, bytes);
  if (entries instanceof Fault) return entries;
  const blocks = entries.map(blockOf);
  if (blocks.some((block) => block.size === 0 || block.size > LIMITS.chunkBytes))
    return new Fault('BAD_SHAPE', 'a block has 1 to 32,768 bytes');
  return sum(blocks) === size ? blocks : new Fault('BAD_SHAPE', 'the list does not add up');
}

function readAs<Schema extends v.GenericSchema>(schema: Schema, bytes: Uint8Array): v.InferOutput<Schema> | Fault {
  const decoded = decode(bytes, LIMITS.chunkBytes);
  return decoded instanceof Fault ? decoded : check(schema, decoded.value);
}

function entryOf({ hash, size }: Block): [string, number] {
  return [hash, size];
}

function blockOf([hash, size]: readonly [string, number]): Block {
  return { hash, size };
}

function sum(blocks: readonly Block[]): number {
  return blocks.reduce((all, { size }) => all + size, 0);
}
