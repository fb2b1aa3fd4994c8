import { Fault, type FaultCode } from './faults.ts';

const SHOWN = 80;

/**
 * A fault about what a person wrote: `in "cpus:4x", character 7: found "x", expected ";" or the end`.
 * `at` is an offset into `text`, from 0; people count characters from 1.
 */
export function faultAt(code: FaultCode, text: string, at: number, expected: string): Fault {
  const character = at < text.length ? String.fromCodePoint(text.codePointAt(at) ?? 0) : undefined;
  const found = character === undefined ? 'the end' : JSON.stringify(character);
  return faultIn(code, text, at, `found ${found}, expected ${expected}`);
}

/** Like {@link faultAt}, where another sentence says it better than "found …, expected …". */
export function faultIn(code: FaultCode, text: string, at: number, problem: string): Fault {
  const shown = text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}…`;
  return new Fault(code, `in ${JSON.stringify(shown)}, character ${at + 1}: ${problem}`);
}
