import type { FirmwareAdapter, Sample, Surroundings } from '../adapter.ts';
import { attribute } from '../attribute.ts';
import { together } from '../combine.ts';
import { numberIn, type TextFiles, textFiles } from '../text-files.ts';
import { hasMemoryController } from './memory-cgroup.ts';
import { throttlingSample, voltageInLog } from './throttling.ts';
import { isTooLow, parseCameras, parseRails, parseTemperature } from './vcgencmd.ts';

const PLATFORM = '/sys/devices/platform';
const PROGRAM_MS = 2_000;

/** Raspberry Pis, by their device tree, sysfs, and `vcgencmd` where the agent may use it (group `video`). Their GPUs are not for hire. */
export function raspberryPiAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'raspberry-pi',
    capabilities: { processes: true, actions: [] },
    probe: async () => {
      const texts = textFiles(files);
      if (!(await isRaspberryPi(texts))) return undefined;
      const [cameras, memory] = await Promise.all([camerasOf(texts), hasMemoryController(texts)]);
      return {
        resources: [],
        attributes: [
          ...attribute('cameras', cameras === undefined || cameras === 0 ? undefined : cameras),
          ...attribute('memory-cgroup', memory === false ? 'off' : undefined),
        ],
        devices: [],
        notes:
          memory === false
            ? [
                'the kernel has no memory cgroup, so memory limits are not enforced: add cgroup_enable=memory to /boot/firmware/cmdline.txt and reboot',
              ]
            : [],
      };
    },
    sample: async () => {
      const texts = textFiles(files);
      if (!(await isRaspberryPi(texts))) return {};
      return together(await Promise.all([voltageOf(texts), temperatureOf(texts), powerOf(texts)]));
    },
    act: (action) => Promise.resolve({ done: false, message: `a Raspberry Pi has no action ${action}` }),
  };
}

export async function isRaspberryPi(texts: TextFiles): Promise<boolean> {
  const [model, compatible] = await Promise.all([
    texts.text('/proc/device-tree/model'),
    texts.text('/proc/device-tree/compatible'),
  ]);
  return (model ?? '').startsWith('Raspberry Pi') || (compatible ?? '').startsWith('raspberrypi,');
}

/** The firmware's bits; the first place that knows them. */
async function voltageOf(texts: TextFiles): Promise<Sample> {
  for (const folder of await firmwareFolders(texts)) {
    const sample = throttlingSample(await texts.text(`${folder}/get_throttled`));
    if (sample !== undefined) return sample;
  }
  const told = throttlingSample(await texts.printed('vcgencmd', ['get_throttled'], PROGRAM_MS));
  if (told !== undefined) return told;
  const alarm = await alarmOf(texts);
  const log = voltageInLog((await texts.printed('dmesg', [], PROGRAM_MS)) ?? '');
  if (alarm === undefined && log === undefined) return {};
  const now = alarm ?? log?.now ?? false;
  return { underVoltage: now, underVoltageSinceBoot: now || log !== undefined };
}

/** `soc/soc:firmware`, on a Raspberry Pi 5 below `soc@107c000000`. */
async function firmwareFolders(texts: TextFiles): Promise<readonly string[]> {
  const socs = (await texts.names(PLATFORM)).filter((name) => /^soc(?:@[0-9a-f]+)?$/.test(name));
  const inside = await Promise.all(
    socs.map(async (soc) =>
      (await texts.names(`${PLATFORM}/${soc}`))
        .filter((name) => name.endsWith(':firmware') || name === 'firmware')
        .map((name) => `${PLATFORM}/${soc}/${name}`),
    ),
  );
  return [...new Set([`${PLATFORM}/soc/soc:firmware`, ...inside.flat()])];
}

/** The driver `rpi_volt` has one alarm: now. */
async function alarmOf(texts: TextFiles): Promise<boolean | undefined> {
  const folder = '/sys/class/hwmon';
  for (const name of await texts.names(folder)) {
    if ((await texts.text(`${folder}/${name}/name`)) !== 'rpi_volt') continue;
    const alarm = await texts.text(`${folder}/${name}/in0_lcrit_alarm`);
    if (alarm === '0' || alarm === '1') return alarm === '1';
  }
  return undefined;
}

/** Asked of the firmware only where the kernel has no zone for it. */
async function temperatureOf(texts: TextFiles): Promise<Sample> {
  if (numberIn(await texts.text('/sys/class/thermal/thermal_zone0/temp')) !== undefined) return {};
  const temperatureC = parseTemperature((await texts.printed('vcgencmd', ['measure_temp'], PROGRAM_MS)) ?? '');
  return temperatureC === undefined ? {} : { temperatureC };
}

/** Only the 5 has a power chip that can be asked. */
async function powerOf(texts: TextFiles): Promise<Sample> {
  if (!((await texts.text('/proc/device-tree/compatible')) ?? '').includes('bcm2712')) return {};
  const rails = parseRails((await texts.printed('vcgencmd', ['pmic_read_adc'], PROGRAM_MS)) ?? '');
  return {
    ...(rails.powerW === undefined ? {} : { powerW: rails.powerW }),
    ...(isTooLow(rails) ? { underVoltage: true, underVoltageSinceBoot: true } : {}),
  };
}

/** As the firmware counts them, else whether a driver of a camera's port has made a video device. */
async function camerasOf(texts: TextFiles): Promise<number | undefined> {
  const told = parseCameras((await texts.printed('vcgencmd', ['get_camera'], PROGRAM_MS)) ?? '');
  if (told !== undefined) return told;
  const folder = '/sys/class/video4linux';
  const names = await Promise.all((await texts.names(folder)).map((name) => texts.text(`${folder}/${name}/name`)));
  const ports = new Set(names.flatMap((name) => /^(?:unicam-image|rp1-cfe-csi2_ch0)/.exec(name ?? '')?.[0] ?? []));
  return ports.size === 0 ? undefined : ports.size;
}
