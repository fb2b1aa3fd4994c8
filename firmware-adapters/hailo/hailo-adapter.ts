import type { Device, FirmwareAdapter, Surroundings } from '../adapter.ts';
import { attribute, kindsOf, slugOf } from '../attribute.ts';
import { pciDevicesOf } from '../pci.ts';
import { textFiles } from '../text-files.ts';
import { parseIdentify } from './identify.ts';

const VENDOR = '1e60';

/** Hailo's accelerators, by PCI and their device files; which of them it is, only its own tool knows. */
export function hailoAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'hailo',
    capabilities: { processes: true, actions: [] },
    probe: async () => {
      const texts = textFiles(files);
      const [cards, all] = await Promise.all([pciDevicesOf(texts, VENDOR), texts.names('/dev')]);
      const nodes = all.filter((name) => /^hailo\d{1,3}$/.test(name));
      if (cards.length === 0 && nodes.length === 0) return undefined;
      // A tree that has no /dev says nothing of drivers.
      if (nodes.length === 0 && all.length > 0)
        return {
          resources: [],
          attributes: [],
          devices: [],
          notes: ['a Hailo is there, and its driver is not loaded'],
        };
      const ids = cards.length > 0 ? cards.map(({ address }) => address) : nodes;
      const devices = ids.map(
        (id, at): Device => ({ kind: 'hailo', id, environment: {}, nodes: nodes.slice(at, at + 1).map(pathOf) }),
      );
      const identities = parseIdentify((await texts.printed('hailortcli', ['fw-control', 'identify'])) ?? '');
      return {
        resources: [],
        attributes: [
          ...attribute('hailo', kindsOf(identities.map(({ architecture }) => slugOf(architecture ?? '')))),
          ...attribute(
            'hailo.firmware',
            identities.map(({ firmware }) => firmware).find((one) => one !== undefined),
          ),
        ],
        devices,
        notes: [],
      };
    },
    sample: () => Promise.resolve({}),
    act: (action) => Promise.resolve({ done: false, message: `a Hailo has no action ${action}` }),
  };
}

function pathOf(node: string): string {
  return `/dev/${node}`;
}
