import { type Attributes, attributeOf, attributeText } from './attributes.ts';

/** The attribute of an agent whose machine would rather lose what it runs (docs/firmware-adapters.md, Health). */
export const DRAIN_WISH = 'drain-wish';

/** Why it would, as `heat` or `battery,heat`; undefined where it would not. */
export function drainWish(attributes: Attributes): string | undefined {
  const attribute = attributeOf(attributes, DRAIN_WISH);
  return attribute === undefined ? undefined : attributeText(attribute);
}
