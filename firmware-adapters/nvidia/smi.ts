import { numberIn } from '../text-files.ts';

/** A GPU as `nvidia-smi` tells it; what it has a placeholder for (`[N/A]`, `[Not Supported]`, …) is undefined. */
export interface SmiGpu {
  readonly index: number;
  readonly uuid: string | undefined;
  readonly name: string | undefined;
  readonly memoryMb: number | undefined;
  readonly driver: string | undefined;
  readonly mig: boolean;
  /** `00000000:01:00.0` */
  readonly bus: string | undefined;
  readonly temperatureC: number | undefined;
  /** 0 to 1. */
  readonly load: number | undefined;
  readonly powerW: number | undefined;
}

const FORMAT = '--format=csv,nounits';
const PROBE_FIELDS = ['index', 'uuid', 'name', 'memory.total', 'driver_version', 'pci.bus_id'];

/** What is asked once; older drivers know no MIG, and answer nothing at all then. */
export const SMI_PROBE = [`--query-gpu=${[...PROBE_FIELDS, 'mig.mode.current'].join(',')}`, FORMAT];
export const SMI_PROBE_OLD = [`--query-gpu=${PROBE_FIELDS.join(',')}`, FORMAT];
/** What is asked again and again. */
export const SMI_HEALTH = ['--query-gpu=index,name,temperature.gpu,utilization.gpu,power.draw', FORMAT];

const GPUS = 64;
const LINE = 2_000;

/**
 * CSV with its header, which says what each column is: drivers differ in units and order. Lines that are none (`No devices
 * were found`, a failure in words) are skipped, and so is a GPU without an index.
 */
export function parseSmi(text: string): readonly SmiGpu[] {
  const lines = text.split('\n').map((line) => line.slice(0, LINE).trim());
  const start = lines.findIndex((line) => line.split(',').some((field) => columnOf(field) === 'index'));
  const columns = (lines[start] ?? '').split(',').map(columnOf);
  if (start < 0) return [];
  const gpus = new Map<number, SmiGpu>();
  for (const line of lines.slice(start + 1)) {
    const gpu = gpuOf(columns, line);
    if (gpu !== undefined && !gpus.has(gpu.index) && gpus.size < GPUS) gpus.set(gpu.index, gpu);
  }
  return [...gpus.values()].sort((a, b) => a.index - b.index);
}

/** `memory.total [MiB]` is `memory.total`. */
function columnOf(field: string): string {
  return field
    .replace(/\[.*\]/, '')
    .trim()
    .toLowerCase();
}

function gpuOf(columns: readonly string[], line: string): SmiGpu | undefined {
  const fields = line.split(',').map((field) => field.trim());
  const text = (column: string): string | undefined => {
    const field = fields[columns.indexOf(column)];
    return field === undefined || field === '' || /^\[.*\]$/.test(field) || /^n\/a$/i.test(field) ? undefined : field;
  };
  const number = (column: string): number | undefined => numberIn(text(column)?.replace(/\s*(?:%|MiB|W|C)$/, ''));
  const index = number('index');
  if (index === undefined || !Number.isInteger(index) || index < 0 || index >= 1_000) return undefined;
  const percent = number('utilization.gpu');
  return {
    index,
    uuid: idIn(text('uuid')),
    name: text('name'),
    memoryMb: number('memory.total'),
    driver: text('driver_version'),
    mig: text('mig.mode.current')?.toLowerCase() === 'enabled',
    bus: text('pci.bus_id'),
    temperatureC: number('temperature.gpu'),
    load: percent === undefined || percent < 0 ? undefined : Math.min(1, percent / 100),
    powerW: number('power.draw'),
  };
}

/** A part of a GPU that was cut by MIG, in hardware. */
export interface MigInstance {
  /** Index of its GPU. */
  readonly gpu: number;
  /** `1g.10gb` */
  readonly profile: string;
  readonly uuid: string;
}

/** `nvidia-smi -L`: each GPU, and below it its instances: `  MIG 1g.10gb     Device  0: (UUID: MIG-…)`. */
export function parseMig(text: string): readonly MigInstance[] {
  const found: MigInstance[] = [];
  let gpu: number | undefined;
  for (const line of text.split('\n').map((one) => one.slice(0, LINE))) {
    const index = /^GPU (\d{1,3}):/.exec(line)?.[1];
    if (index !== undefined) gpu = Number(index);
    const [, profile, uuid] = /^\s+MIG (\S{1,40})\s+Device\s+\d{1,3}: \(UUID: ([^)\s]{1,200})\)/.exec(line) ?? [];
    const id = idIn(uuid);
    if (gpu !== undefined && profile !== undefined && id !== undefined && found.length < GPUS * 7)
      found.push({ gpu, profile, uuid: id });
  }
  return found;
}

/** Goes into an environment variable, where commas part ids; old drivers name MIG devices with slashes. */
function idIn(text: string | undefined): string | undefined {
  return text !== undefined && /^(?:GPU|MIG)-[A-Za-z0-9/-]{1,120}$/.test(text) ? text : undefined;
}
