import type { Device, FirmwareAdapter, Surroundings } from '../adapter.ts';
import { attribute } from '../attribute.ts';
import { hexOf } from '../pci.ts';
import { type TextFiles, textFiles } from '../text-files.ts';
import { parseGpuTop } from './gpu-top.ts';

const FOLDER = '/sys/class/drm';
const INTEL = '8086';
/** Enough for three rows, of which the first is nonsense. */
const TOP_ARGV = ['-l', '-s', '300'];
const TOP_MS = 1_200;

/**
 * Intel's GPUs. The one inside a processor decodes videos well and computes little: it is an `igpu`, so that no job that
 * asks for `gpus` lands there; a card of its own is one of the `gpus`.
 */
export function intelGpuAdapter({ files }: Surroundings): FirmwareAdapter {
  return {
    name: 'intel-gpu',
    capabilities: { processes: true, actions: [] },
    probe: async () => {
      const cards = await cardsOf(textFiles(files));
      if (cards.length === 0) return undefined;
      const discrete = cards.filter(({ kind }) => kind === 'gpus');
      return {
        resources: [],
        attributes: [
          ...attribute('gpu', discrete.length > 0 ? 'intel' : undefined),
          ...attribute('igpu', discrete.length < cards.length ? 'intel' : undefined),
        ],
        devices: cards,
        notes: [],
      };
    },
    sample: async () => {
      const texts = textFiles(files);
      if ((await cardsOf(texts)).length === 0) return {};
      const top = parseGpuTop((await texts.printed('intel_gpu_top', TOP_ARGV, TOP_MS)) ?? '');
      return {
        ...(top?.load === undefined ? {} : { acceleratorLoad: top.load }),
        ...(top?.powerW === undefined ? {} : { powerW: top.powerW }),
      };
    },
    act: (action) => Promise.resolve({ done: false, message: `an Intel GPU has no action ${action}` }),
  };
}

/** Each card once, with its render node; the place on the bus tells the one inside the processor. */
async function cardsOf(texts: TextFiles): Promise<readonly Device[]> {
  const names = (await texts.names(FOLDER)).filter((name) => /^card\d{1,3}$/.test(name));
  const found = await Promise.all(
    names.map(async (name): Promise<Device[]> => {
      const device = `${FOLDER}/${name}/device`;
      if (hexOf(await texts.text(`${device}/vendor`)) !== INTEL) return [];
      const [uevent, drm] = await Promise.all([texts.text(`${device}/uevent`), texts.names(`${device}/drm`)]);
      const slot = /^PCI_SLOT_NAME=([0-9a-f:.]{1,20})$/im.exec(uevent ?? '')?.[1];
      const isInside = slot === undefined || /^0000:00:02\./.test(slot);
      const nodes = [name, ...drm.filter((one) => /^renderD\d{1,4}$/.test(one))].map((one) => `/dev/dri/${one}`);
      return [{ kind: isInside ? 'igpu' : 'gpus', id: slot ?? name, environment: {}, nodes }];
    }),
  );
  return found.flat();
}
