/** The one of `known` that was most likely meant: one slip (insert, leave out, replace, swap) away, or two of five letters or more. */
export function closest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let fewest = (word.length < 5 ? 1 : 2) + 1;
  for (const one of known) {
    const slips = distance(word.toLowerCase(), one.toLowerCase());
    if (slips < fewest) {
      fewest = slips;
      best = one;
    }
  }
  return best;
}

/** Damerau and Levenshtein's, where letters are swapped at most once (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      row.push(least);
    }
    before = above;
    above = row;
  }
  return above[b.length] ?? 0;
}
