import { type Attributes, attributeOf } from './attributes.ts';

/** The attribute of an agent whose machine would rather lose what it runs (docs/firmware-adapters.md, Health). */
export const DRAIN_WISH = 'drain-wish';

/** Why it would, as `heat` or `battery,heat`; undefined where it would not. Numbers and ranges are no reason. */
export function drainWish(attributes: Attributes): string | undefined {
  return attributeOf(attributes, DRAIN_WISH)?.text;
}
