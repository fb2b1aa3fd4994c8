import type { DeviceFiles } from '../../io/device-files.ts';
import type { Sample } from '../adapter.ts';
import { textFiles } from '../text-files.ts';
import { batteryOf } from './battery.ts';
import { flashWear } from './flash-wear.ts';
import { countCpus } from './hardware.ts';
import { isMetered } from './metered-link.ts';
import { hottestZone } from './thermal.ts';

const DISK_TIMEOUT_MS = 2_000;

/** How any Linux machine is, by what its kernel says: no program is run. */
export async function sampleOf(files: DeviceFiles, dataFolder: string): Promise<Sample> {
  const texts = textFiles(files);
  const [temperatureC, disk, wear, battery, metered, online] = await Promise.all([
    hottestZone(texts),
    files.disk(dataFolder, DISK_TIMEOUT_MS),
    flashWear(texts),
    batteryOf(texts),
    isMetered(texts),
    texts.text('/sys/devices/system/cpu/online'),
  ]);
  const cpusOnline = countCpus(online ?? '');
  return {
    ...battery,
    ...(temperatureC === undefined ? {} : { temperatureC }),
    ...(disk === undefined || disk.totalBytes <= 0 ? {} : { diskUsed: 1 - disk.freeBytes / disk.totalBytes }),
    ...(wear === undefined ? {} : { wear }),
    ...(metered === undefined ? {} : { metered }),
    ...(cpusOnline === undefined ? {} : { cpusOnline }),
  };
}
