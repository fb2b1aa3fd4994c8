import { Fault } from '../protocol/faults.ts';

/**
 * Whether an agent may go from one version to another in one step: a version speaks with, and reads the files of, the one
 * before it (docs/protocol.md, Versions). Patches count as the same. Undefined: it may.
 */
export function refuseSkew(from: string, to: string): Fault | undefined {
  const [old, wanted] = [read(from), read(to)];
  if (old === undefined || wanted === undefined)
    return new Fault('BAD_USAGE', `${old === undefined ? from : to} is no version like 1.2.3`);
  // A first minor version follows the last of the major one before, whichever that was.
  const near =
    old.major === wanted.major
      ? Math.abs(old.minor - wanted.minor) <= 1
      : Math.abs(old.major - wanted.major) === 1 && (old.major < wanted.major ? wanted : old).minor === 0;
  if (near) return undefined;
  return new Fault(
    'UNSUPPORTED',
    `from ${from} to ${to} is more than one version`,
    'Go there version by version: each reads what the one before it wrote.',
  );
}

function read(version: string): { readonly major: number; readonly minor: number } | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)\.\d+/.exec(version) ?? [];
  return major === undefined || minor === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}
