import type { Storage } from './storage.ts';

/** A medium that has spoiled so many is not trusted with another; and what it spoiled must not fill it. */
const MOST_SET_ASIDE = 3;

/** The damaged journals (or files) that lie beside `folder`, oldest first. */
export async function damagedBeside(storage: Storage, folder: string): Promise<string[]> {
  const numbers = (await storage.list('')).map((name) => numberOf(folder, name)).filter((each) => each !== undefined);
  return numbers.sort((a, b) => a - b).map((each) => nameOf(folder, each));
}

/**
 * Renames `folder`, a file or a folder of the data folder, durably, so that an empty one can take its place: nothing of
 * it is removed. Tells its new name; undefined, and nothing done, where there are too many already. Rejects with a
 * `StorageError`.
 */
export async function setAside(storage: Storage, folder: string): Promise<string | undefined> {
  const before = await damagedBeside(storage, folder);
  if (before.length >= MOST_SET_ASIDE) return undefined;
  const last = numberOf(folder, before.at(-1) ?? '') ?? 0;
  const name = nameOf(folder, last + 1);
  await storage.rename(folder, name);
  return name;
}

function nameOf(folder: string, number: number): string {
  return `${folder}.corrupt-${number}`;
}

function numberOf(folder: string, name: string): number | undefined {
  const start = `${folder}.corrupt-`;
  const digits = name.startsWith(start) ? name.slice(start.length) : '';
  return /^[1-9]\d{0,5}$/.test(digits) ? Number(digits) : undefined;
}
