import type { DeviceFiles } from '../io/device-files.ts';

/** No single file may cost more: `/proc/cpuinfo` of a board is 2 kB, of a server 200. */
const MAX_BYTES = 65_536;
const MAX_NAMES = 1_000;
const TIMEOUT_MS = 500;

/** {@link DeviceFiles} as text, with the bounds of a probe: each file is read once. */
export interface TextFiles {
  /** Without white space and NUL bytes at the ends (values of the device tree end in NUL); undefined where missing or empty. */
  text(path: string): Promise<string | undefined>;
  names(path: string): Promise<readonly string[]>;
}

export function textFiles(files: DeviceFiles): TextFiles {
  const decoder = new TextDecoder();
  const texts = new Map<string, Promise<string | undefined>>();
  const readText = async (path: string): Promise<string | undefined> => {
    const bytes = await files.read(path, MAX_BYTES, TIMEOUT_MS);
    const text = bytes === undefined ? '' : trimmed(decoder.decode(bytes));
    return text === '' ? undefined : text;
  };
  return {
    text: (path) => {
      const text = texts.get(path) ?? readText(path);
      texts.set(path, text);
      return text;
    },
    names: async (path) => (await files.list(path, MAX_NAMES, TIMEOUT_MS)) ?? [],
  };
}

/** By hand, since a regular expression for the end would look at each run of NUL bytes again and again. */
function trimmed(text: string): string {
  let to = text.length;
  while (to > 0 && /[\s\0]/.test(text.charAt(to - 1))) to--;
  return text.slice(0, to).trimStart();
}

/** The value behind `Name:` in files such as `/proc/cpuinfo`, `/proc/meminfo` and `/proc/self/status`: the first one. */
export function fieldOf(text: string, name: string): string | undefined {
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && line.slice(0, colon).trim() === name) return line.slice(colon + 1).trim();
  }
  return undefined;
}
