/** Chance, handed in: seeded in the simulator, the kernel's generator in a real process. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** `count` random bytes, fit for secrets where the implementation is a real one. */
  bytes(count: number): Uint8Array;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** A random word of `length` letters and digits (base32, 5 bits each), starting with a letter: fit for ids in topics and paths. */
export function randomWord(random: Random, length: number): string {
  const bytes = random.bytes(length);
  let word = '';
  for (let index = 0; index < length; index++) word += ALPHABET[(bytes[index] ?? 0) % (index === 0 ? 26 : 32)];
  return word;
}
