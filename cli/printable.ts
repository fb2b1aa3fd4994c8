/** Text that came over the wire, fit for a terminal: no control character of it steers anything. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) =>
    character === '\n' || character === '\t' ? ' ' : '\ufffd',
  );
}
