import * as v from 'valibot';
import { decode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import type { SeededRandom } from './sim/random.ts';

/** What a valibot schema tells about itself at run time: the kinds that protocol/ is made of. */
interface Shape {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Shape>>;
  readonly item?: Shape;
  readonly wrapped?: Shape;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
}

/** Words and numbers that messages are made of: some of our own, and whatever was heard. */
export class Vocabulary {
  readonly words: string[] = [
    'x',
    '0',
    '*',
    '',
    'constructor',
    'toString',
    'a'.repeat(64),
    '-',
    'cpus:1;mem:32',
    'b.0',
  ];
  readonly numbers: number[] = [0, 1, 2, -1, 0.5, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, 3_000];

  /** Takes up every word and number of a payload; forgets the oldest of very many. */
  hear(payload: Uint8Array): void {
    const decoded = payload.length === 0 ? undefined : decode(payload);
    if (decoded !== undefined && !(decoded instanceof Fault)) this.#learn(decoded.value);
    if (this.words.length > 2_000) this.words.splice(10, 1_000);
    if (this.numbers.length > 500) this.numbers.splice(9, 250);
  }

  #learn(value: unknown): void {
    if (typeof value === 'string' && !this.words.includes(value)) this.words.push(value);
    else if (typeof value === 'number' && !this.numbers.includes(value)) this.numbers.push(value);
    else if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array))
      for (const each of Object.values(value)) this.#learn(each);
  }
}

/** Tries before a part of a message is given up: most words fit most places. */
const TRIES = 30;

/**
 * A message that its schema accepts and that means nothing: words and numbers of `vocabulary` wherever they fit, lists
 * of up to three. Undefined where chance found nothing that fits.
 */
export function wellFormed(schema: v.GenericSchema, vocabulary: Vocabulary, random: SeededRandom): unknown {
  for (let tries = 0; tries < TRIES; tries++) {
    const value = candidate(schema as unknown as Shape, vocabulary, random);
    if (v.is(schema, value)) return value;
  }
  return undefined;
}

function candidate(shape: Shape, vocabulary: Vocabulary, random: SeededRandom): unknown {
  const any = <Item>(items: readonly Item[]): Item | undefined => items[random.below(items.length)];
  const part = (inner: Shape | undefined): unknown =>
    inner === undefined ? undefined : wellFormed(inner as unknown as v.GenericSchema, vocabulary, random);
  switch (shape.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(shape.entries ?? {})
          .map(([name, inner]) => [name, part(inner)] as const)
          .filter(([, value]) => value !== undefined),
      );
    case 'array':
    case 'tuple':
      return Array.from({ length: random.below(4) }, () => part(shape.item)).filter((item) => item !== undefined);
    case 'optional':
    case 'nullable':
      return random.chance(0.3) ? (shape.type === 'nullable' ? null : undefined) : part(shape.wrapped);
    case 'literal':
      return shape.literal;
    case 'picklist':
      return any(shape.options ?? []);
    case 'union':
      return part(any(shape.options ?? []) as Shape | undefined);
    case 'string':
      return any(vocabulary.words);
    case 'number':
      return any(vocabulary.numbers);
    case 'boolean':
      return random.chance(0.5);
    case 'record':
      return Object.fromEntries(
        [any(vocabulary.words), any(vocabulary.words)].map((word) => [word, any(vocabulary.words)]),
      );
    case 'instance':
      return random.bytes(random.below(64));
    default:
      return any<unknown>([
        any(vocabulary.words),
        any(vocabulary.numbers),
        null,
        true,
        [],
        {},
        { job: any(vocabulary.words) },
      ]);
  }
}
