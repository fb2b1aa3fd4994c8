import type { FirmwareAdapter, Surroundings } from './adapter.ts';

/** Every adapter by name. Each is loaded only where it is used: agents are small. */
const CATALOG: ReadonlyMap<string, (surroundings: Surroundings) => Promise<FirmwareAdapter>> = new Map([
  ['linux', async (surroundings) => (await import('./linux/linux-adapter.ts')).linuxAdapter(surroundings)],
]);

export const ADAPTER_NAMES: readonly string[] = [...CATALOG.keys()];

/** The adapter of that name; undefined where there is none. */
export async function adapterNamed(name: string, surroundings: Surroundings): Promise<FirmwareAdapter | undefined> {
  return await CATALOG.get(name)?.(surroundings);
}
