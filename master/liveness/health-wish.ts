import { type Attributes, attributeOf, attributeText } from '../../protocol/attributes.ts';

/** Told by an agent whose machine would rather lose what it runs (docs/firmware-adapters.md, Health). */
const WISH = 'drain-wish';

export interface Drainable {
  readonly state: string;
  readonly attributes: Attributes;
  readonly drain?: { readonly wish?: string } | undefined;
  readonly overruled?: string | undefined;
}

/** What is to be done about an agent's health: begin a drain for its wish, end that one (or what was overruled of it), or nothing. */
export function heed({
  state,
  attributes,
  drain,
  overruled,
}: Drainable): { readonly wish: string | undefined } | undefined {
  if (state === 'gone') return undefined;
  const attribute = attributeOf(attributes, WISH);
  if (attribute === undefined)
    return drain?.wish !== undefined || overruled !== undefined ? { wish: undefined } : undefined;
  return drain === undefined && overruled === undefined ? { wish: attributeText(attribute) } : undefined;
}
