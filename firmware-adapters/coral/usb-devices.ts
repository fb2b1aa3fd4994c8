import { hexOf } from '../pci.ts';
import type { TextFiles } from '../text-files.ts';

const FOLDER = '/sys/bus/usb/devices';

/**
 * A USB accelerator shows one id until its first use, when the library gives it its firmware, and another one afterwards,
 * at another place of the bus: both are the same device.
 */
const IDS: ReadonlySet<string> = new Set(['1a6e:089a', '18d1:9302']);

/** How many are plugged in. */
export async function countUsbCorals(texts: TextFiles): Promise<number> {
  const places = (await texts.names(FOLDER)).filter((name) => /^\d+-\d+(?:\.\d+)*$/.test(name));
  const ids = await Promise.all(
    places.map(async (place) => {
      const [vendor, product] = await Promise.all([
        texts.text(`${FOLDER}/${place}/idVendor`),
        texts.text(`${FOLDER}/${place}/idProduct`),
      ]);
      return `${hexOf(vendor)}:${hexOf(product)}`;
    }),
  );
  return ids.filter((id) => IDS.has(id)).length;
}
