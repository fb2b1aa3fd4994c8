import type { TextFiles } from './text-files.ts';

const FOLDER = '/sys/bus/pci/devices';

export interface PciDevice {
  /** `0001:01:00.0` */
  readonly address: string;
  /** Four hexadecimal digits each, in small letters. */
  readonly vendor: string;
  readonly device: string;
}

/** Devices on PCI of one vendor, in the order of their addresses. */
export async function pciDevicesOf(texts: TextFiles, vendor: string): Promise<readonly PciDevice[]> {
  const addresses = (await texts.names(FOLDER)).filter((name) =>
    /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.\d$/i.test(name),
  );
  const found = await Promise.all(
    addresses.map(async (address) => {
      if (hexOf(await texts.text(`${FOLDER}/${address}/vendor`)) !== vendor) return [];
      return [{ address, vendor, device: hexOf(await texts.text(`${FOLDER}/${address}/device`)) ?? '' }];
    }),
  );
  return found.flat();
}

/** `0x1E60` is `1e60`. */
export function hexOf(text: string | undefined): string | undefined {
  return /^(?:0x)?([0-9a-f]{4})$/i.exec(text ?? '')?.[1]?.toLowerCase();
}
