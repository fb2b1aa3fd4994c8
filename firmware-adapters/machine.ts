import type { ActionEnd, Capabilities, Probe, Sample, Surroundings } from './adapter.ts';

/** A machine that runs programs of ours: what Linux says of it, and what the adapters of its parts add. */
export interface Machine {
  readonly capabilities: Capabilities;
  /** Never rejects; what could not be read has its default here, and a note. */
  probe(): Promise<Probe>;
  sample(): Promise<Sample>;
  act(action: string, value: string): Promise<ActionEnd>;
}

/** Looks at a machine and loads the adapters that it needs. */
export async function machineOf(surroundings: Surroundings): Promise<Machine> {
  const { linuxAdapter } = await import('./linux/linux-adapter.ts');
  return linuxAdapter(surroundings);
}
