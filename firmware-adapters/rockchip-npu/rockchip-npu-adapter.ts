import type { FirmwareAdapter, Surroundings } from '../adapter.ts';
import { attribute } from '../attribute.ts';
import { type TextFiles, textFiles } from '../text-files.ts';
import { parseNpuLoad } from './npu-load.ts';

const DEVFREQ = '/sys/class/devfreq';
/** Root may read it. */
const DEBUG = '/sys/kernel/debug/rknpu';

/** Chips with an NPU, and how many cores it has. */
const CORES: ReadonlyMap<string, number> = new Map([
  ['rk3588', 3],
  ['rk3588s', 3],
  ['rk3582', 2],
  ['rk3576', 2],
  ['rk3562', 1],
  ['rk3566', 1],
  ['rk3568', 1],
]);

/** The NPU inside a Rockchip: one accelerator, of whatever cores, for its library uses them together. */
export function rockchipNpuAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'rockchip-npu',
    capabilities: { processes: true, actions: [] },
    probe: async () => {
      const texts = textFiles(files);
      const chip = await chipOf(texts);
      const cores = CORES.get(chip ?? '');
      if (chip === undefined || cores === undefined) return undefined;
      if (!(await hasDriver(texts)))
        return {
          resources: [],
          attributes: [],
          devices: [],
          notes: [`the kernel has no driver for the NPU of the ${chip}`],
        };
      const [nodes, renderers] = await Promise.all([texts.names('/dev'), renderNodes(texts)]);
      const own = nodes.includes('rknpu') ? ['/dev/rknpu'] : [];
      return {
        resources: [],
        attributes: [...attribute('npu', chip), ...attribute('npu.cores', cores)],
        devices: [{ kind: 'npu', id: 'rknpu', environment: {}, nodes: [...own, ...renderers] }],
        notes: [],
      };
    },
    sample: async () => {
      const texts = textFiles(files);
      if ((await chipOf(texts)) === undefined) return {};
      const loads = parseNpuLoad((await loadText(texts)) ?? '');
      return loads.length === 0 ? {} : { acceleratorLoad: Math.max(...loads) };
    },
    act: (action) => Promise.resolve({ done: false, message: `an NPU has no action ${action}` }),
  };
}

/** `rk3588` of `radxa,rock-5b`, `rockchip,rk3588`. */
async function chipOf(texts: TextFiles): Promise<string | undefined> {
  const compatible = ((await texts.text('/proc/device-tree/compatible')) ?? '').split('\0');
  const chips = compatible.flatMap((name) => /^rockchip,(rk\d{4}s?)$/.exec(name)?.[1] ?? []);
  return chips.find((chip) => CORES.has(chip)) ?? chips[0];
}

async function npuOf(texts: TextFiles): Promise<string | undefined> {
  return (await texts.names(DEVFREQ)).find((name) => /(?:^|\.)npu$/.test(name));
}

async function hasDriver(texts: TextFiles): Promise<boolean> {
  const [devfreq, debug, nodes] = await Promise.all([npuOf(texts), texts.names(DEBUG), texts.names('/dev')]);
  return (
    devfreq !== undefined ||
    debug.length > 0 ||
    nodes.includes('rknpu') ||
    (await texts.names('/sys/module/rknpu')).length > 0
  );
}

async function loadText(texts: TextFiles): Promise<string | undefined> {
  const name = await npuOf(texts);
  return (
    (await texts.text(`${DEBUG}/load`)) ??
    (name === undefined ? undefined : await texts.text(`${DEVFREQ}/${name}/load`))
  );
}

/** The driver of newer kernels is one of DRM's. */
async function renderNodes(texts: TextFiles): Promise<readonly string[]> {
  const folder = '/sys/class/drm';
  const nodes = (await texts.names(folder)).filter((name) => /^renderD\d{1,4}$/.test(name));
  const drivers = await Promise.all(nodes.map((node) => texts.text(`${folder}/${node}/device/uevent`)));
  return nodes
    .filter((_, at) => /^DRIVER=(?:rknpu|rocket)$/im.test(drivers[at] ?? ''))
    .map((node) => `/dev/dri/${node}`);
}
