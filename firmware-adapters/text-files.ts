import type { DeviceFiles } from '../io/device-files.ts';

/** No single file may cost more: `/proc/cpuinfo` of a board is 2 kB, of a server 200. */
const MAX_BYTES = 65_536;
const MAX_NAMES = 1_000;
const TIMEOUT_MS = 500;
/** `nvidia-smi` wakes a sleeping card, which takes seconds. */
const PROGRAM_MS = 5_000;

/** {@link DeviceFiles} as text, with the bounds of a probe: each file is read once, each program run once. */
export interface TextFiles {
  /** Without white space and NUL bytes at the ends (values of the device tree end in NUL); undefined where missing or empty. */
  text(path: string): Promise<string | undefined>;
  names(path: string): Promise<readonly string[]>;
  /** What a program printed, as {@link DeviceFiles.run} gives it, trimmed; undefined where it printed nothing. */
  printed(program: string, argv: readonly string[], timeoutMs?: number): Promise<string | undefined>;
}

export function textFiles(files: DeviceFiles): TextFiles {
  const texts = new Map<string, Promise<string | undefined>>();
  const once = (key: string, read: () => Promise<Uint8Array | undefined>): Promise<string | undefined> => {
    const text = texts.get(key) ?? read().then(textOf);
    texts.set(key, text);
    return text;
  };
  return {
    text: (path) => once(path, () => files.read(path, MAX_BYTES, TIMEOUT_MS)),
    names: async (path) => (await files.list(path, MAX_NAMES, TIMEOUT_MS)) ?? [],
    printed: (program, argv, timeoutMs = PROGRAM_MS) =>
      once([program, ...argv].join(' '), () => files.run(program, argv, MAX_BYTES, timeoutMs)),
  };
}

const DECODER = new TextDecoder();

function textOf(bytes: Uint8Array | undefined): string | undefined {
  const text = bytes === undefined ? '' : trimmed(DECODER.decode(bytes));
  return text === '' ? undefined : text;
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

/** A number as files and tools write it, `-45`, `53.968`; undefined for anything else, and beyond what a sensor could mean. */
export function numberIn(text: string | undefined): number | undefined {
  if (text === undefined || !/^[+-]?\d{1,15}(?:\.\d{0,15})?$/.test(text.trim())) return undefined;
  return Number(text);
}
