/** Nearer to the end than this a cut goes back to a space; a single long word is cut where it is. */
const MOST_BACK = 40;

/** Text for people in at most `most` UTF-16 units: what is longer ends behind a word, with an ellipsis. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const room = Math.max(0, most - 1);
  const space = text.lastIndexOf(' ', room);
  const kept = text.slice(0, space > 0 && room - space <= MOST_BACK ? space : room);
  // Half of a character would be no text.
  return `${kept.replace(/[\uD800-\uDBFF]$/, '').trimEnd()}…`.slice(0, most);
}
