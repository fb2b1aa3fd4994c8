import type { Attributes } from '../../protocol/attributes.ts';
import { drainWish } from '../../protocol/drain-wish.ts';

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
  const wish = drainWish(attributes);
  if (wish === undefined) return drain?.wish !== undefined || overruled !== undefined ? { wish: undefined } : undefined;
  return drain === undefined && overruled === undefined ? { wish } : undefined;
}
