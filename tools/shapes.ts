import type { MessageTable } from '../protocol/envelope.ts';

/** What this page-writer needs to know of a valibot schema: they are plain objects that describe themselves. */
interface Described {
  readonly type: string;
  readonly pipe?: readonly Described[];
  readonly entries?: Readonly<Record<string, Described>>;
  readonly item?: Described;
  readonly key?: Described;
  readonly value?: Described;
  readonly wrapped?: Described;
  readonly default?: unknown;
  readonly literal?: unknown;
  readonly options?: readonly unknown[];
  readonly requirement?: unknown;
}

/** A schema in a line, as in `{task: text, ports?: [integer ≥ 0] ≤ 100}`. `known` names the shapes that have a name. */
export function shapeOf(schema: unknown, known: ReadonlyMap<unknown, string> = new Map()): string {
  const described = schema as Described;
  const name = known.get(schema) ?? known.get(described.options);
  return name ?? plainShape(described, known) + bounds(described);
}

function plainShape(schema: Described, known: ReadonlyMap<unknown, string>): string {
  const inner = (part: unknown): string => shapeOf(part, known);
  switch (schema.type) {
    case 'string':
      return 'text';
    case 'number':
      return schema.pipe?.some(({ type }) => type === 'integer') ? 'integer' : 'number';
    case 'boolean':
      return 'true or false';
    case 'literal':
      return JSON.stringify(schema.literal);
    case 'picklist':
      return (schema.options ?? []).map(String).join(' \\| ');
    case 'array':
      return `[${inner(schema.item)}]`;
    case 'record':
      return `{text: ${inner(schema.value)}}`;
    case 'nullable':
      return `${inner(schema.wrapped)} or null`;
    case 'optional':
      return inner(schema.wrapped);
    case 'union':
    case 'variant':
      return (schema.options ?? []).map(inner).join(' or ');
    case 'instance':
      return 'bytes';
    case 'object':
      return `{${fieldsOf(schema, known).join(', ')}}`;
    default:
      return 'anything';
  }
}

/** Fields that stand together in an object that has a name are written once, as `…Fence`. */
function fieldsOf(schema: Described, known: ReadonlyMap<unknown, string>): string[] {
  const fields = Object.entries(schema.entries ?? {}).filter(([name]) => name !== 'v');
  const part = [...known.keys()].find((named) => isPartOf(named as Described, schema));
  const inPart = Object.keys((part as Described | undefined)?.entries ?? {});
  const own = fields
    .filter(([name]) => !inPart.includes(name))
    .map(([name, field]) => `${name}${field.type === 'optional' ? '?' : ''}: ${shapeOf(field, known)}`);
  return part === undefined ? own : [`…${known.get(part)}`, ...own];
}

function isPartOf(part: Described, whole: Described): boolean {
  const entries = Object.entries(part.entries ?? {});
  return part !== whole && entries.length > 2 && entries.every(([name, field]) => whole.entries?.[name] === field);
}

/** The bounds that validation enforces; `≤` of a text or a list is its length. */
function bounds(schema: Described): string {
  const words = (schema.pipe ?? []).flatMap(({ type, requirement }) => {
    if (typeof requirement !== 'number' || requirement === Number.MAX_SAFE_INTEGER) return [];
    if (type === 'min_value' || type === 'min_length') return [`≥ ${requirement}`];
    if (type === 'max_value' || type === 'max_length') return [`≤ ${requirement}`];
    return [];
  });
  return words.length === 0 ? '' : ` ${words.join(' ')}`;
}

/** Every field of every message of a table, without `v` and `type`, which each has. */
export function messageRows(table: MessageTable, known: ReadonlyMap<unknown, string>): string[][] {
  return Object.entries(table).map(([type, schema]) => {
    const fields = fieldsOf(schema as unknown as Described, known).filter((field) => !field.startsWith('type: '));
    return [`\`${type}\``, fields.map((field) => `\`${field}\``).join('<br>') || '–'];
  });
}
