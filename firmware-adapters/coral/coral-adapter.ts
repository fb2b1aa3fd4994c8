import type { Device, FirmwareAdapter, Surroundings } from '../adapter.ts';
import { attribute, kindsOf } from '../attribute.ts';
import { pciDevicesOf } from '../pci.ts';
import { textFiles } from '../text-files.ts';
import { countUsbCorals } from './usb-devices.ts';

const VENDOR = '1ac1';
const EDGE_TPU = '089a';

/** Coral's Edge TPUs, on USB and on PCIe. */
export function coralAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'coral',
    capabilities: { processes: true, actions: [] },
    probe: async () => {
      const texts = textFiles(files);
      const [usb, cards, all] = await Promise.all([
        countUsbCorals(texts),
        pciDevicesOf(texts, VENDOR),
        texts.names('/dev'),
      ]);
      const nodes = all.filter((name) => /^apex_\d{1,3}$/.test(name));
      const boards = cards.filter(({ device }) => device === EDGE_TPU).map(({ address }) => address);
      // The driver names them in the order of the bus; without the bus's list their nodes are who they are.
      const ids = boards.length > 0 ? boards : nodes;
      const isWithoutDriver = nodes.length === 0 && all.length > 0 && ids.length > 0;
      const pcie = (isWithoutDriver ? [] : ids).map(
        (id, at): Device => ({
          kind: 'coral',
          id,
          environment: {},
          nodes: nodes.slice(at, at + 1).map((node) => `/dev/${node}`),
        }),
      );
      // Its place changes when it is first used: who has it has the bus.
      const plugged = Array.from(
        { length: usb },
        (_, at): Device => ({ kind: 'coral', id: `usb-${at}`, environment: {}, nodes: ['/dev/bus/usb'] }),
      );
      if (usb === 0 && ids.length === 0) return undefined;
      return {
        resources: [],
        attributes: attribute('coral', kindsOf([usb > 0 ? 'usb' : undefined, pcie.length > 0 ? 'pcie' : undefined])),
        devices: [...pcie, ...plugged],
        notes: isWithoutDriver ? ['a Coral is on PCIe, and its driver is not loaded'] : [],
      };
    },
    sample: () => Promise.resolve({}),
    act: (action) => Promise.resolve({ done: false, message: `a Coral has no action ${action}` }),
  };
}
