/**
 * A line of `tegrastats`. Every release writes it differently: with and without a time, with units and without, with one,
 * two or three numbers a rail, and an unprivileged user sees less. So nothing here counts on places: each value is looked
 * for by its form, and what is not there is not there.
 */
export interface Tegrastats {
  readonly memoryMb: { readonly used: number; readonly total: number } | undefined;
  /** Of each core: how busy, 0 to 1; undefined where it is switched off. Empty where the line says nothing of cores. */
  readonly cores: readonly (number | undefined)[];
  /** 0 to 1. The several clusters that some releases print are one GPU. Undefined on a Thor, which prints clocks alone. */
  readonly gpuLoad: number | undefined;
  /** Degrees by sensor, in small letters: whether they are capitals depends on the release. */
  readonly temperatures: ReadonlyMap<string, number>;
  /** Milliwatts by rail, now (not the average behind it). */
  readonly rails: ReadonlyMap<string, number>;
}

const LINE = 4_096;
const TOKENS = 300;
/** Rails that everything else is fed from. */
const INPUTS = ['VDD_IN', 'POM_5V_IN'];

/** Undefined for a line in which nothing of all that can be found: a banner, half a line. */
export function parseTegrastats(line: string): Tegrastats | undefined {
  const text = line.slice(0, LINE);
  const tokens = text.trim().split(/\s+/).slice(0, TOKENS);
  const memory = /(?:^|\s)RAM (\d{1,7})\/(\d{1,7})MB(?=\s|$)/.exec(text);
  const found: Tegrastats = {
    memoryMb: memory === null ? undefined : { used: Number(memory[1]), total: Number(memory[2]) },
    cores: coresIn(text),
    gpuLoad: percent(/(?:^|\s)(?:GR3D_FREQ|GPC_FREQ) (\d{1,3})%(?=[@\s]|$)/.exec(text)?.[1]),
    temperatures: temperaturesIn(tokens),
    rails: railsIn(tokens),
  };
  const { cores, gpuLoad, temperatures, rails, memoryMb } = found;
  const isEmpty =
    memoryMb === undefined && gpuLoad === undefined && cores.length + temperatures.size + rails.size === 0;
  return isEmpty ? undefined : found;
}

/** `[12%@2265,off,3%@2265]` */
function coresIn(text: string): (number | undefined)[] {
  const list = /(?:^|\s)CPU \[([^\]]{0,2000})\]/.exec(text)?.[1];
  if (list === undefined) return [];
  return list.split(',').flatMap((core) => {
    if (core.trim() === 'off') return [undefined];
    const load = percent(/^\s*(\d{1,3})%/.exec(core)?.[1]);
    return load === undefined ? [] : [load];
  });
}

/** `GPU@41.5C`, `cpu@52.968C/52.968C` of JetPack 7.2 (the second is an average); −256 is a sensor without power. */
function temperaturesIn(tokens: readonly string[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const token of tokens) {
    const [, sensor = '', degrees] =
      /^([A-Za-z][\w.-]{0,30})@(-?\d{1,3}(?:\.\d{1,6})?)C(?:\/-?\d{1,3}(?:\.\d{1,6})?C)?$/.exec(token) ?? [];
    const name = sensor.toLowerCase();
    if (degrees !== undefined && Number(degrees) > -256 && !found.has(name)) found.set(name, Number(degrees));
  }
  return found;
}

/** `VDD_IN 6140/5510`, `VDD_IN 2763mW/2846mW`, `VDD_IN 5139mW/5139mW/5139mW`, `VDD_IN 3210mW`; engines have a number alone (`APE 25`). */
function railsIn(tokens: readonly string[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const [at, token] of tokens.entries()) {
    const name = tokens[at - 1] ?? '';
    const now = /^(\d{1,7})(?:mW(?:\/\d{1,7}mW){0,2}|\/\d{1,7})$/.exec(token)?.[1];
    if (now !== undefined && /^[A-Z][A-Z0-9_]{0,40}$/.test(name) && !found.has(name)) found.set(name, Number(now));
  }
  return found;
}

function percent(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Math.min(1, Number(text) / 100);
}

/** Watts that come in: of the rail that feeds the board, else of all rails together. Undefined where there is none. */
export function watts(rails: ReadonlyMap<string, number>): number | undefined {
  const input = INPUTS.map((name) => rails.get(name)).find((one) => one !== undefined);
  if (input !== undefined) return input / 1000;
  return rails.size === 0 ? undefined : [...rails.values()].reduce((sum, one) => sum + one, 0) / 1000;
}
