import { attributeOf, mergeAttributes } from '../protocol/attributes.ts';
import { LIMITS } from '../protocol/limits.ts';
import { add } from '../protocol/resource-arithmetic.ts';
import type { Device, Finding, Sample } from './adapter.ts';

/** What a part adds to its machine. */
export function withPart<Found extends Finding>(machine: Found, part: Finding): Found {
  const known = new Set(machine.devices.map(nameOf));
  const fresh = part.devices.filter((device) => !known.has(nameOf(device)));
  const room = LIMITS.attributes - machine.attributes.length;
  const said = part.attributes.filter(({ name }) => attributeOf(machine.attributes, name) === undefined).slice(0, room);
  return {
    ...machine,
    resources: add(machine.resources, part.resources),
    attributes: mergeAttributes(machine.attributes, said),
    devices: [...machine.devices, ...fresh],
    notes: [...machine.notes, ...part.notes],
  };
}

function nameOf({ kind, id }: Device): string {
  return `${kind} ${id}`;
}

const worse = (one: number, other: number): number => Math.max(one, other);
const either = (one: boolean, other: boolean): boolean => one || other;

/** How two values of a sample come together: complete, or it does not compile. */
const TOGETHER: { readonly [Name in keyof Required<Sample>]: (one: Value<Name>, other: Value<Name>) => Value<Name> } = {
  temperatureC: worse,
  acceleratorC: worse,
  throttled: either,
  throttledSinceBoot: either,
  underVoltage: either,
  underVoltageSinceBoot: either,
  powerW: (one, other) => one + other,
  diskUsed: worse,
  diskFreeMb: Math.min,
  wear: worse,
  acceleratorLoad: worse,
  battery: Math.min,
  onBattery: either,
  metered: either,
  cpusOnline: Math.min,
};
type Value<Name extends keyof Sample> = Required<Sample>[Name];

/** Of each value the worst; power adds up. What is not a number is left out. */
export function together(samples: readonly Sample[]): Sample {
  const result: { -readonly [Name in keyof Sample]: Sample[Name] } = {};
  const take = <Name extends keyof Sample>(name: Name, value: Sample[Name]): void => {
    if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) return;
    const before = result[name];
    result[name] = before === undefined ? value : TOGETHER[name](before as Value<Name>, value as Value<Name>);
  };
  const names = Object.keys(TOGETHER) as (keyof Sample)[];
  for (const sample of samples) for (const name of names) take(name, sample[name]);
  return result;
}
