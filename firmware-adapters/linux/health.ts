import type { DeviceFiles, Disk } from '../../io/device-files.ts';
import type { Sample } from '../adapter.ts';
import { textFiles } from '../text-files.ts';
import { batteryOf } from './battery.ts';
import { BYTES_PER_MB } from './defaults.ts';
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
    ...(disk === undefined || disk.totalBytes <= 0 ? {} : fullness(disk)),
    ...(wear === undefined ? {} : { wear }),
    ...(metered === undefined ? {} : { metered }),
    ...(cpusOnline === undefined ? {} : { cpusOnline }),
  };
}

function fullness({ totalBytes, freeBytes }: Disk): Pick<Sample, 'diskUsed' | 'diskFreeMb'> {
  return {
    diskUsed: Math.min(1, Math.max(0, 1 - freeBytes / totalBytes)),
    diskFreeMb: Math.floor(freeBytes / BYTES_PER_MB),
  };
}
