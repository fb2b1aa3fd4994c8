import * as v from 'valibot';
import { faultAt, faultIn } from './fault-at.ts';
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { NAME_PROBLEM, RESOURCE_NAME } from './resource-name.ts';
import { formatRanges, type Ranges } from './resource-ranges.ts';
import { RangesSchema } from './resource-ranges-schema.ts';
import { formatScalar } from './resource-scalar.ts';
import { bracketProblem, trim, valueAt } from './resource-value.ts';

/** What is true of an agent: text, a number in thousandths (may be negative), or ranges. */
export type Attribute =
  | { readonly name: string; readonly text: string; readonly scalar?: never; readonly ranges?: never }
  | { readonly name: string; readonly scalar: number; readonly text?: never; readonly ranges?: never }
  | { readonly name: string; readonly ranges: Ranges; readonly text?: never; readonly scalar?: never };

/** In memory and on the wire: each name once, in the order written. */
export type Attributes = readonly Attribute[];

/**
 * `arch:arm64;site:roof;ports:[1-2]`, each split at its first `:` only (Mesos: src/common/attributes.cpp). White space
 * around parts and empty parts are ignored. Unlike Mesos, a name stands once. Faults: BAD_ATTRIBUTES with the character
 * where reading stopped.
 */
export function parseAttributes(text: string): Attributes | Fault {
  if (text.length > LIMITS.resourcesLength)
    return new Fault('TOO_LARGE', `attributes have at most ${LIMITS.resourcesLength} characters`);
  const attributes: Attribute[] = [];
  let from = 0;
  for (const part of text.split(';')) {
    const place = trim({ code: 'BAD_ATTRIBUTES', text, from, to: from + part.length });
    from += part.length + 1;
    if (place.from === place.to) continue;
    const colon = text.slice(place.from, place.to).indexOf(':');
    if (colon < 0) return faultAt('BAD_ATTRIBUTES', text, place.to, '":" and a value');
    const { from: begin, to: end } = trim({ ...place, to: place.from + colon });
    const name = text.slice(begin, end);
    if (!RESOURCE_NAME.test(name)) return faultIn('BAD_ATTRIBUTES', text, begin, NAME_PROBLEM);
    if (attributeOf(attributes, name) !== undefined)
      return faultIn('BAD_ATTRIBUTES', text, begin, `${name} is there twice`);
    if (attributes.length >= LIMITS.attributes)
      return faultIn('BAD_ATTRIBUTES', text, begin, `there are more than ${LIMITS.attributes} attributes`);
    const value = valueAt({ ...place, from: place.from + colon + 1 });
    if (value instanceof Fault) return value;
    if (value.type === 'SET')
      return faultIn('BAD_ATTRIBUTES', text, place.from + colon + 1, 'an attribute cannot be a set');
    if (value.type === 'TEXT' && !isAttributeText(value.text)) {
      return faultIn('BAD_ATTRIBUTES', text, trim({ ...place, from: place.from + colon + 1 }).from, TEXT_PROBLEM);
    }
    const { type: _, ...rest } = value;
    attributes.push({ name, ...rest });
  }
  return attributes;
}

const TEXT_PROBLEM = `the text of an attribute has 1 to ${LIMITS.attributeLength} characters, no [ ] { } or lone ( ), no ";" and no space around it`;

/** True for what the written form can carry. */
export function isAttributeText(text: string): boolean {
  const isPlain = !/[;\p{Cc}]/u.test(text) && bracketProblem(text) === undefined;
  return isPlain && text !== '' && text.length <= LIMITS.attributeLength && text.trim() === text;
}

/** The way back from {@link parseAttributes}. */
export function formatAttributes(attributes: Attributes): string {
  return attributes.map((attribute) => `${attribute.name}:${attributeText(attribute)}`).join(';');
}

/** The value as people write it: what constraints compare. */
export function attributeText(attribute: Attribute): string {
  if (attribute.text !== undefined) return attribute.text;
  return attribute.scalar !== undefined ? formatScalar(attribute.scalar) : formatRanges(attribute.ranges);
}

export function attributeOf(attributes: Attributes, name: string): Attribute | undefined {
  return attributes.find((attribute) => attribute.name === name);
}

/** `over` on top of `under`: what a person wrote wins over what was detected. */
export function mergeAttributes(under: Attributes, over: Attributes): Attributes {
  return [...under.filter(({ name }) => attributeOf(over, name) === undefined), ...over];
}

const AttributeSchema = v.pipe(
  v.object({
    name: v.pipe(v.string(), v.regex(RESOURCE_NAME, NAME_PROBLEM)),
    text: v.optional(v.pipe(v.string(), v.check(isAttributeText, TEXT_PROBLEM))),
    scalar: v.optional(
      v.pipe(v.number(), v.safeInteger(), v.minValue(-LIMITS.scalarThousandths), v.maxValue(LIMITS.scalarThousandths)),
    ),
    ranges: v.optional(RangesSchema),
  }),
  v.rawTransform(({ dataset, addIssue, NEVER }): Attribute => {
    const { name, text, scalar, ranges } = dataset.value;
    if (text !== undefined && scalar === undefined && ranges === undefined) return { name, text };
    if (scalar !== undefined && text === undefined && ranges === undefined) return { name, scalar };
    if (ranges !== undefined && text === undefined && scalar === undefined) return { name, ranges };
    addIssue({ message: `${name} needs one of text, scalar and ranges` });
    return NEVER;
  }),
);

/** On the wire and in files: an array of {@link Attribute}, or text for {@link parseAttributes}. */
export const AttributesSchema = v.pipe(
  v.union([v.string(), v.pipe(v.array(AttributeSchema), v.maxLength(LIMITS.attributes))]),
  v.rawTransform(({ dataset, addIssue, NEVER }): Attributes => {
    const attributes = typeof dataset.value === 'string' ? parseAttributes(dataset.value) : dataset.value;
    if (attributes instanceof Fault) addIssue({ message: attributes.message });
    else if (new Set(attributes.map(({ name }) => name)).size < attributes.length)
      addIssue({ message: 'an attribute is there twice' });
    else return attributes;
    return NEVER;
  }),
);
