import type { Sample } from '../adapter.ts';
import { numberIn, type TextFiles } from '../text-files.ts';

const FOLDER = '/sys/class/power_supply';

/** What the batteries of the machine say (power_supply class of the kernel); those of a mouse or a keyboard do not count. */
export async function batteryOf(texts: TextFiles): Promise<Pick<Sample, 'battery' | 'onBattery'>> {
  const supplies = await texts.names(FOLDER);
  const batteries = await Promise.all(
    supplies.map(async (name) => {
      const [type, scope, capacity, status] = await Promise.all(
        ['type', 'scope', 'capacity', 'status'].map((file) => texts.text(`${FOLDER}/${name}/${file}`)),
      );
      const percent = numberIn(capacity);
      if ((type !== 'Battery' && type !== 'UPS') || scope === 'Device' || percent === undefined) return [];
      return [{ level: Math.min(1, Math.max(0, percent / 100)), discharging: status === 'Discharging' }];
    }),
  );
  const known = batteries.flat();
  if (known.length === 0) return {};
  return {
    battery: Math.max(...known.map(({ level }) => level)),
    onBattery: known.some(({ discharging }) => discharging),
  };
}
