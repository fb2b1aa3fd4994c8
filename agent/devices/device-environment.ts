import type { GivenDevice, OwnDevice } from './choose-devices.ts';
import { deviceName } from './cut-devices.ts';

/** What keeps libraries from devices that a task was not given, by the variable that would name them. */
const NOTHING: ReadonlyMap<string, string> = new Map([
  ['CUDA_VISIBLE_DEVICES', ''],
  ['NVIDIA_VISIBLE_DEVICES', 'void'],
]);

/** What a task is told of its devices: `MESQ_DEVICES`, and what the libraries of each read. */
export function deviceEnvironment(given: readonly GivenDevice[]): Record<string, string> {
  if (given.length === 0) return {};
  const values = new Map<string, Set<string>>();
  for (const { environment } of given) {
    for (const [name, value] of Object.entries(environment))
      values.set(name, (values.get(name) ?? new Set<string>()).add(value));
  }
  const told = [...values].map(([name, all]): [string, string] => [name, [...all].join(',')]);
  return { ...Object.fromEntries(told), MESQ_DEVICES: given.map(deviceName).join(',') };
}

/** What a task without such devices is told, on a machine that has some: that there are none for it. */
export function withoutDevices(own: readonly OwnDevice[]): Record<string, string> {
  const names = new Set(own.flatMap(({ environment }) => Object.keys(environment)));
  return Object.fromEntries([...NOTHING].filter(([name]) => names.has(name)));
}

/** Paths below `/dev` that it works through, each once. */
export function deviceNodes(given: readonly GivenDevice[]): readonly string[] {
  return [...new Set(given.flatMap(({ nodes }) => nodes))];
}
