import type { ActionEnd, Device, Finding, FirmwareAdapter, Sample, Surroundings } from '../adapter.ts';
import { attribute } from '../attribute.ts';
import { isOfBoard, sensible } from '../linux/thermal.ts';
import { parseSmi, SMI_HEALTH } from '../nvidia/smi.ts';
import { type TextFiles, textFiles } from '../text-files.ts';
import { tegraOf } from './chip.ts';
import { gpuLoad, inputWatts } from './gpu-load.ts';
import { type PowerMode, parseModeStatus, parsePowerMode, parsePowerModes } from './power-mode.ts';
import { parseRelease } from './release.ts';
import { parseTegrastats, type Tegrastats, watts } from './tegrastats.ts';

/** The first line comes at once; old releases wait for their interval. */
const TEGRASTATS_MS = 1_500;
const PROGRAM_MS = 5_000;

/**
 * NVIDIA's boards with a Tegra, from the Nano to the Thor: one GPU inside, whose memory is the memory of the machine and
 * is offered once, as `mem`. What sysfs says needs no rights; `tegrastats` and `nvidia-smi` are asked only for the rest.
 */
export function jetsonAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'jetson',
    capabilities: {
      processes: true,
      actions: [{ name: 'power-mode', about: 'a mode of nvpmodel, by name or number; changes how many cores are on' }],
    },
    probe: async () => {
      const texts = textFiles(files);
      const chip = await tegraOf(texts);
      return chip === undefined ? undefined : await findingOf(texts, chip);
    },
    sample: async () => {
      const texts = textFiles(files);
      return (await tegraOf(texts)) === undefined ? {} : await sampleOf(texts);
    },
    act: async (action, value) => {
      if (action !== 'power-mode') return { done: false, message: `a Jetson has no action ${action}` };
      return await switchTo(textFiles(files), value);
    },
  };
}

async function findingOf(texts: TextFiles, chip: string): Promise<Finding> {
  const [release, mode, nodes] = await Promise.all([
    texts.text('/etc/nv_tegra_release'),
    modeOf(texts),
    texts.names('/dev'),
  ]);
  const { l4t, jetpack } = parseRelease(release ?? '') ?? {};
  const gpu: Device = {
    kind: 'gpus',
    id: 'tegra-gpu',
    // The container runtime of JetPack knows its one GPU as `all` alone.
    environment: { CUDA_VISIBLE_DEVICES: '0', NVIDIA_VISIBLE_DEVICES: 'all' },
    nodes: nodes
      .filter((name) => /^(?:nvhost-|nvmap$|nvgpu$|nvidia|nvsciipc$)/.test(name))
      .map((name) => `/dev/${name}`),
  };
  return {
    resources: [],
    attributes: [
      ...attribute('gpu', `nvidia-${chip}`),
      ...attribute('gpu.memory', 'unified'),
      ...attribute('l4t', l4t),
      ...attribute('jetpack', jetpack),
      ...attribute('power-mode', mode?.name),
    ],
    devices: [gpu],
    notes: release === undefined ? ['there is no /etc/nv_tegra_release: this Jetson does not run JetPack'] : [],
  };
}

/** As root `nvpmodel` says it, and a file of its does for everybody. */
async function modeOf(texts: TextFiles): Promise<PowerMode | undefined> {
  const [status, modes] = await Promise.all([texts.text('/var/lib/nvpmodel/status'), texts.text('/etc/nvpmodel.conf')]);
  const id = parseModeStatus(status ?? '');
  const named = parsePowerModes(modes ?? '').find((mode) => mode.id === id);
  return named ?? parsePowerMode((await texts.printed('nvpmodel', ['-q'], PROGRAM_MS)) ?? '');
}

async function sampleOf(texts: TextFiles): Promise<Sample> {
  const [load, power] = await Promise.all([gpuLoad(texts), inputWatts(texts)]);
  const printed = load === undefined || power === undefined ? await tegrastatsOf(texts) : undefined;
  const powerW = power ?? (printed === undefined ? undefined : watts(printed.rails));
  const acceleratorLoad = load ?? printed?.gpuLoad ?? (await loadBySmi(texts));
  const temperatureC = printed === undefined ? undefined : hottest(printed);
  return {
    ...(temperatureC === undefined ? {} : { temperatureC }),
    ...(powerW === undefined ? {} : { powerW }),
    ...(acceleratorLoad === undefined ? {} : { acceleratorLoad }),
  };
}

async function tegrastatsOf(texts: TextFiles): Promise<Tegrastats | undefined> {
  const printed = (await texts.printed('tegrastats', ['--interval', '500'], TEGRASTATS_MS)) ?? '';
  return printed
    .split('\n')
    .map(parseTegrastats)
    .find((line) => line !== undefined);
}

function hottest({ temperatures }: Tegrastats): number | undefined {
  const known = [...temperatures].filter(([name, degrees]) => isOfBoard(name) && sensible(degrees) !== undefined);
  return known.length === 0 ? undefined : Math.max(...known.map(([, degrees]) => degrees));
}

/** A Thor's load is NVML's to tell. */
async function loadBySmi(texts: TextFiles): Promise<number | undefined> {
  const [gpu] = parseSmi((await texts.printed('nvidia-smi', SMI_HEALTH)) ?? '');
  return gpu?.load;
}

async function switchTo(texts: TextFiles, value: string): Promise<ActionEnd> {
  const modes = parsePowerModes((await texts.text('/etc/nvpmodel.conf')) ?? '');
  const wanted = modes.find(({ id, name }) => name === value || String(id) === value);
  if (wanted === undefined) {
    const known = modes.map(({ id, name }) => `${id} ${name}`).join(', ');
    return { done: false, message: known === '' ? 'no power modes are known here' : `power modes are ${known}` };
  }
  await texts.printed('nvpmodel', ['-m', String(wanted.id)], PROGRAM_MS);
  // It says nothing where it has done it, and may say so where it has not: the new mode tells.
  const now = parsePowerMode((await texts.printed('nvpmodel', ['-q'], PROGRAM_MS)) ?? '');
  return now?.id === wanted.id
    ? { done: true, message: `power mode ${wanted.name}` }
    : {
        done: false,
        message: `the power mode is still ${now?.name ?? 'unknown'}: it needs root, and perhaps a reboot`,
      };
}
