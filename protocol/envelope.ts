import { Decoder, Encoder } from 'cbor-x';
import * as v from 'valibot';
import { Fault } from './faults.ts';
import { wordsOf } from './issue-words.ts';
import { LIMITS } from './limits.ts';
import { cborProblem, jsonProblem } from './message-shape.ts';

/** The protocol's major version: what this side speaks, and the oldest it understands (N speaks N - 1). */
export const PROTOCOL = { min: 1, max: 1, features: [] as string[] } as const;

/** A peer that began in JSON is answered in JSON (docs/protocol.md, Transport). */
export type Encoding = 'cbor' | 'json';

// An integer of 64 bits is a number: a BigInt would be a surprise to everything that does sums or writes JSON.
const CBOR = {
  useRecords: false,
  mapsAsObjects: true,
  tagUint8Array: false,
  variableMapSize: true,
  int64AsNumber: true,
} as const;
const encoder = new Encoder(CBOR);
const decoder = new Decoder(CBOR);
const utf8 = new TextDecoder('utf-8', { fatal: true });
const toUtf8 = new TextEncoder();

/** Encodes any message. JSON carries bytes as base64. */
export function encode(message: object, encoding: Encoding): Uint8Array {
  if (encoding === 'cbor') return encoder.encode(message);
  return toUtf8.encode(
    JSON.stringify(message, (_key, value: unknown) => (value instanceof Uint8Array ? base64(value) : value)),
  );
}

function base64(bytes: Uint8Array): string {
  let letters = '';
  for (const byte of bytes) letters += String.fromCharCode(byte);
  return btoa(letters);
}

/** What a payload claims to be: no CBOR map begins with `{`. */
export function encodingOf(bytes: Uint8Array): Encoding {
  return bytes[0] === 0x7b ? 'json' : 'cbor';
}

/**
 * Reads CBOR, or JSON where the first byte is `{` (no CBOR map begins with it). Never throws: what cannot be read is
 * a fault BAD_ENCODING or TOO_LARGE. `most` is for what comes from our own disk.
 */
export function decode(
  bytes: Uint8Array,
  most: number = LIMITS.payloadBytes,
): { encoding: Encoding; value: unknown } | Fault {
  if (bytes.length > most) return new Fault('TOO_LARGE', `a payload of ${bytes.length} bytes; the limit is ${most}`);
  if (bytes.length === 0) return new Fault('BAD_ENCODING', 'an empty payload');
  const encoding = encodingOf(bytes);
  const problem = encoding === 'json' ? jsonProblem(bytes) : cborProblem(bytes);
  if (problem !== undefined)
    return new Fault('BAD_ENCODING', `not ${encoding === 'json' ? 'JSON' : 'CBOR'} for us: ${problem}`);
  try {
    const value: unknown = encoding === 'json' ? JSON.parse(utf8.decode(bytes)) : decoder.decode(bytes);
    return { encoding, value };
  } catch (error) {
    return new Fault(
      'BAD_ENCODING',
      `not ${encoding === 'json' ? 'JSON' : 'CBOR'}: ${error instanceof Error ? error.message.slice(0, 200) : 'unreadable'}`,
    );
  }
}

/** A table of the messages of one topic: type → schema. */
export type MessageTable = Readonly<Record<string, v.GenericSchema<unknown, { type: string }>>>;

/** Any message of a table, told apart by `type`. */
export type MessageOf<Table extends MessageTable> = { [Type in keyof Table]: v.InferOutput<Table[Type]> }[keyof Table];

/** What a sender may write: every field with a default may be left out, and `v` is added by {@link write}. */
export type Outgoing<Table extends MessageTable> = {
  [Type in keyof Table]: Readable<Omit<v.InferInput<Table[Type]>, 'v'>>;
}[keyof Table];

/** A value that is only read: every list in it may be readonly. */
type Readable<Value> = Value extends Uint8Array
  ? Value
  : Value extends readonly (infer Item)[]
    ? readonly Readable<Item>[]
    : Value extends object
      ? { readonly [Key in keyof Value]: Readable<Value[Key]> }
      : Value;

/**
 * Reads one message of `table`: encoding, version, type, shape. Unknown fields are ignored, an unknown type is a
 * fault UNKNOWN_TYPE, another major a fault VERSION, a wrong field a fault BAD_SHAPE that names it.
 */
export function read<Table extends MessageTable>(
  table: Table,
  bytes: Uint8Array,
): { encoding: Encoding; message: MessageOf<Table> } | Fault {
  const decoded = decode(bytes);
  if (decoded instanceof Fault) return decoded;
  const { encoding, value } = decoded;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Fault('BAD_SHAPE', 'a message is a map with v and type');
  const { v: version, type } = value as { v?: unknown; type?: unknown };
  if (typeof version !== 'number' || version < PROTOCOL.min || version > PROTOCOL.max) {
    return new Fault('VERSION', `version ${describe(version)}; this side speaks ${PROTOCOL.min} to ${PROTOCOL.max}`);
  }
  const schema = typeof type === 'string' && Object.hasOwn(table, type) ? table[type] : undefined;
  if (schema === undefined)
    return new Fault('UNKNOWN_TYPE', `type ${describe(type)}; known here: ${Object.keys(table).join(', ')}`);
  const parsed = check(schema, value);
  return parsed instanceof Fault ? parsed : { encoding, message: parsed as MessageOf<Table> };
}

/** Encodes one message of `table`, with the version. */
export function write<Table extends MessageTable>(
  _table: Table,
  message: Outgoing<Table>,
  encoding: Encoding = 'cbor',
): Uint8Array {
  return encode({ v: PROTOCOL.max, ...message }, encoding);
}

/** The value as the schema reads it, or BAD_SHAPE naming the field (`tasks.0.argv`) and what was wrong with it. */
export function check<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> | Fault {
  try {
    const result = v.safeParse(schema, value, { abortEarly: true });
    if (result.success) return result.output;
    const [issue] = result.issues;
    return new Fault('BAD_SHAPE', `${v.getDotPath(issue) ?? 'the message'}: ${wordsOf(issue).slice(0, 300)}`);
  } catch {
    // A value whose own properties are hostile (a key named toString, say) may throw while it is described.
    return new Fault('BAD_SHAPE', 'the message cannot be described');
  }
}

function describe(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value.slice(0, 40))
    : typeof value === 'number'
      ? String(value)
      : typeof value;
}

/**
 * Cuts a list into parts of at most `bytes` (by the size each item has in CBOR), at least one part.
 * An item over the size gets a part of its own.
 */
export function cut<Item>(
  items: readonly Item[],
  bytes: number = LIMITS.partBytes,
  most: number = Number.POSITIVE_INFINITY,
): Item[][] {
  // The usual message is of one: it goes alone whatever its size, so nothing is encoded to learn that.
  if (items.length < 2) return [[...items]];
  const parts: Item[][] = [];
  let part: Item[] = [];
  let size = 0;
  for (const item of items) {
    const length = encoder.encode(item).length;
    if (part.length > 0 && (size + length > bytes || part.length >= most)) {
      parts.push(part);
      part = [];
      size = 0;
    }
    part.push(item);
    size += length;
  }
  parts.push(part);
  return parts;
}
