import { numberIn, type TextFiles } from '../text-files.ts';

/** The GPU inside, by the name of its node in the device tree. */
const GPU_NODES: ReadonlySet<string> = new Set(['gv11b', 'gp10b', 'ga10b', 'gb10b', 'gpu', 'gm20b']);
const PLACES = ['/sys/devices/gpu.0/load', '/sys/devices/platform/gpu.0/load'];
const DEVFREQ = '/sys/class/devfreq';

/** `0` to `1000` of a `load` file: thousandths. */
export function parseGpuLoad(text: string | undefined): number | undefined {
  const thousandths = numberIn(text);
  return thousandths === undefined || thousandths < 0 ? undefined : Math.min(1, thousandths / 1000);
}

/** How busy the GPU is, 0 to 1, by sysfs: no rights and no program are needed. Undefined where the kernel does not say (Thor). */
export async function gpuLoad(texts: TextFiles): Promise<number | undefined> {
  for (const place of PLACES) {
    const load = parseGpuLoad(await texts.text(place));
    if (load !== undefined) return load;
  }
  for (const name of await texts.names(DEVFREQ)) {
    const node = await texts.text(`${DEVFREQ}/${name}/device/of_node/name`);
    if (!GPU_NODES.has(node ?? '') && !/\.(?:gpu|ga10b|gv11b|gp10b)$/.test(name)) continue;
    const load = parseGpuLoad(await texts.text(`${DEVFREQ}/${name}/device/load`));
    if (load !== undefined) return load;
  }
  return undefined;
}

/** Watts at the input, by the INA3221 of the board: a channel labelled `VDD_IN` or `POM_5V_IN`, in mV and mA. */
export async function inputWatts(texts: TextFiles): Promise<number | undefined> {
  const folder = '/sys/class/hwmon';
  for (const chip of await texts.names(folder)) {
    if ((await texts.text(`${folder}/${chip}/name`)) !== 'ina3221') continue;
    for (const channel of [1, 2, 3]) {
      const label = await texts.text(`${folder}/${chip}/in${channel}_label`);
      if (label !== 'VDD_IN' && label !== 'POM_5V_IN') continue;
      const millivolts = numberIn(await texts.text(`${folder}/${chip}/in${channel}_input`));
      const milliamperes = numberIn(await texts.text(`${folder}/${chip}/curr${channel}_input`));
      if (millivolts !== undefined && milliamperes !== undefined) return (millivolts * milliamperes) / 1_000_000;
    }
  }
  return undefined;
}
