import { type Attribute, isAttributeText } from '../protocol/attributes.ts';

/** None where the value is unknown, or is nothing that an attribute can hold. */
export function attribute(name: string, value: string | number | undefined): readonly Attribute[] {
  if (typeof value === 'number') return [{ name, scalar: Math.round(value * 1000) }];
  return value !== undefined && isAttributeText(value) ? [{ name, text: value }] : [];
}

const SLUG_LENGTH = 64;

/** A name that constraints can be written with: `NVIDIA A100-PCIE-40GB` is `nvidia-a100-pcie-40gb`; undefined where nothing is left. */
export function slugOf(text: string): string | undefined {
  const slug = text.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const cut = slug.slice(0, SLUG_LENGTH).replace(/^-+|-+$/g, '');
  return cut === '' ? undefined : cut;
}

/** Of several: each once, in the order of the alphabet, with commas between; undefined where there is none. */
export function kindsOf(slugs: Iterable<string | undefined>): string | undefined {
  const kinds = new Set([...slugs].filter((slug) => slug !== undefined));
  return kinds.size === 0 ? undefined : [...kinds].sort().join(',');
}
