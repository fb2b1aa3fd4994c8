import type { Device, Finding, FirmwareAdapter, Sample, Surroundings } from '../adapter.ts';
import { attribute, kindsOf, slugOf } from '../attribute.ts';
import { together } from '../combine.ts';
import { type TextFiles, textFiles } from '../text-files.ts';
import { cardsOf, sameBus } from './driver-files.ts';
import { type MigInstance, parseMig, parseSmi, SMI_HEALTH, SMI_PROBE, SMI_PROBE_OLD, type SmiGpu } from './smi.ts';

/** NVIDIA's cards, by `nvidia-smi`, else by the files of their driver. A GPU that MIG has cut is as many devices as it has parts. */
export function nvidiaAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'nvidia',
    capabilities: { processes: true, actions: [] },
    probe: async () => {
      const texts = textFiles(files);
      const nodes = (await texts.names('/dev')).filter((name) => name.startsWith('nvidia'));
      return (await bySmi(texts, nodes)) ?? (await byFiles(texts, nodes));
    },
    sample: async () => {
      const gpus = parseSmi((await textFiles(files).printed('nvidia-smi', SMI_HEALTH)) ?? '');
      return together(gpus.map(sampleOf));
    },
    act: (action) => Promise.resolve({ done: false, message: `an NVIDIA card has no action ${action}` }),
  };
}

function sampleOf({ temperatureC, load, powerW }: SmiGpu): Sample {
  return {
    ...(temperatureC === undefined ? {} : { acceleratorC: temperatureC }),
    ...(load === undefined ? {} : { acceleratorLoad: load }),
    ...(powerW === undefined ? {} : { powerW }),
  };
}

async function bySmi(texts: TextFiles, nodes: readonly string[]): Promise<Finding | undefined> {
  const asked = parseSmi((await texts.printed('nvidia-smi', SMI_PROBE)) ?? '');
  const gpus = asked.length > 0 ? asked : parseSmi((await texts.printed('nvidia-smi', SMI_PROBE_OLD)) ?? '');
  if (gpus.length === 0) return undefined;
  const cut = gpus.some(({ mig }) => mig) ? parseMig((await texts.printed('nvidia-smi', ['-L'])) ?? '') : [];
  const cards = await cardsOf(texts);
  const notes: string[] = [];
  const devices = gpus.flatMap((gpu): Device[] => {
    const minor = cards.find(({ bus }) => gpu.bus !== undefined && sameBus(bus, gpu.bus))?.minor ?? gpu.index;
    const used = nodesOf(nodes, minor);
    if (!gpu.mig) return [gpu.uuid === undefined ? numbered(gpu.index, used) : deviceOf(gpu.uuid, used)];
    const parts = cut.filter((part) => part.gpu === gpu.index);
    if (parts.length === 0) notes.push(`GPU ${gpu.index} is in MIG mode and has no instances: it is not offered`);
    return parts.map(({ uuid }) => deviceOf(uuid, used));
  });
  return {
    resources: [],
    attributes: [
      ...attribute('gpu', kindsOf(gpus.map(({ name }) => kindOf(name)))),
      ...attribute('gpu.memory', least(gpus.map(({ memoryMb }) => memoryMb))),
      ...attribute('gpu.driver', gpus[0]?.driver),
      ...attribute('gpu.mig', profilesOf(cut)),
    ],
    devices: distinct(devices),
    notes,
  };
}

async function byFiles(texts: TextFiles, nodes: readonly string[]): Promise<Finding | undefined> {
  const cards = await cardsOf(texts);
  const numbers = nodes.flatMap((name) => /^nvidia(\d{1,3})$/.exec(name)?.[1] ?? []);
  if (cards.length === 0 && numbers.length === 0) return undefined;
  const devices =
    cards.length > 0
      ? cards.map(({ uuid, minor }, at) => {
          const used = nodesOf(nodes, minor ?? at);
          return uuid === undefined ? numbered(at, used) : deviceOf(uuid, used);
        })
      : numbers.map((number) => numbered(Number(number), nodesOf(nodes, Number(number))));
  return {
    resources: [],
    attributes: attribute('gpu', kindsOf(cards.map(({ model }) => kindOf(model)))),
    devices: distinct(devices),
    notes: [],
  };
}

function deviceOf(id: string, nodes: readonly string[]): Device {
  return { kind: 'gpus', id, environment: { CUDA_VISIBLE_DEVICES: id, NVIDIA_VISIBLE_DEVICES: id }, nodes };
}

/** CUDA counts the fastest card first unless it is told to count as everybody else does. */
function numbered(index: number, nodes: readonly string[]): Device {
  const device = deviceOf(String(index), nodes);
  return { ...device, environment: { ...device.environment, CUDA_DEVICE_ORDER: 'PCI_BUS_ID' } };
}

function distinct(devices: readonly Device[]): readonly Device[] {
  return [...new Map(devices.map((device) => [device.id, device])).values()];
}

/** Its own, and the ones that all share. */
function nodesOf(nodes: readonly string[], minor: number): string[] {
  return nodes.filter((name) => name === `nvidia${minor}` || !/^nvidia\d+$/.test(name)).map((name) => `/dev/${name}`);
}

function kindOf(name: string | undefined): string | undefined {
  const slug = slugOf(name ?? '');
  return slug === undefined || slug.startsWith('nvidia') ? slug : `nvidia-${slug}`;
}

function profilesOf(cut: readonly MigInstance[]): string | undefined {
  return kindsOf(cut.map(({ profile }) => profile));
}

function least(numbers: readonly (number | undefined)[]): number | undefined {
  const known = numbers.filter((number) => number !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
