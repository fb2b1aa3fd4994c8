import type { ActionEnd, Capabilities, FirmwareAdapter, Probe, Sample, Surroundings } from './adapter.ts';
import { adapterNamed, suspected } from './catalog.ts';
import { together, withPart } from './combine.ts';
import { linuxAdapter } from './linux/linux-adapter.ts';
import { textFiles } from './text-files.ts';

/** A machine that runs programs of ours: what Linux says of it, and what the adapters of its board and of what is plugged in add. */
export interface Machine {
  /** Never rejects; what could not be read has its default here, and a note. Looks for new parts each time. */
  probe(): Promise<Probe>;
  sample(): Promise<Sample>;
  /** Of its parts, as far as a probe has found them. */
  capabilities(): Capabilities;
  /** By the first part that has the action. */
  act(action: string, value: string): Promise<ActionEnd>;
}

export function machineOf(surroundings: Surroundings): Machine {
  const linux = linuxAdapter(surroundings);
  const loaded = new Map<string, FirmwareAdapter>();
  /** Those that found something, at the last probe. */
  let parts: readonly FirmwareAdapter[] = [];
  const load = async (name: string): Promise<FirmwareAdapter[]> => {
    const adapter = loaded.get(name) ?? (await adapterNamed(name, surroundings));
    if (adapter === undefined) return [];
    loaded.set(name, adapter);
    return [adapter];
  };
  return {
    probe: async () => {
      const names = (await suspected(textFiles(surroundings.files))).filter((name) => name !== linux.name);
      const candidates = (await Promise.all(names.map(load))).flat();
      const [machine, ...findings] = await Promise.all([linux.probe(), ...candidates.map((one) => one.probe())]);
      parts = candidates.filter((_, at) => findings[at] !== undefined);
      return findings.reduce<Probe>(
        (whole, finding) => (finding === undefined ? whole : withPart(whole, finding)),
        machine,
      );
    },
    sample: async () => together(await Promise.all([linux, ...parts].map((one) => one.sample()))),
    capabilities: () => ({
      processes: true,
      actions: [linux, ...parts].flatMap(({ capabilities }) => capabilities.actions),
    }),
    act: async (action, value) => {
      const part = [linux, ...parts].find(({ capabilities }) =>
        capabilities.actions.some(({ name }) => name === action),
      );
      return part === undefined
        ? { done: false, message: `this machine has no action ${action}` }
        : await part.act(action, value);
    },
  };
}
