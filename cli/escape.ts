const NEW_LINES: ReadonlySet<number> = new Set([10, 13]);
const TILDE = 0x7e;
const DOT = 0x2e;

/**
 * Finds what a person types to leave a session whose keys all go to the far side, as in ssh(1): `~.` at the beginning of a
 * line. `~~` there is one tilde.
 */
export class Escape {
  #state: 'line' | 'begin' | 'tilde' = 'begin';

  /** What of the keys is for the far side, and whether the person leaves. */
  take(keys: Uint8Array): { readonly bytes: Uint8Array; readonly leaves: boolean } {
    const bytes: number[] = [];
    for (const key of keys) {
      if (this.#state === 'tilde') {
        if (key === DOT) return { bytes: Uint8Array.from(bytes), leaves: true };
        if (key !== TILDE) bytes.push(TILDE);
      } else if (this.#state === 'begin' && key === TILDE) {
        this.#state = 'tilde';
        continue;
      }
      bytes.push(key);
      this.#state = NEW_LINES.has(key) ? 'begin' : 'line';
    }
    return { bytes: Uint8Array.from(bytes), leaves: false };
  }
}
