import type { FirmwareAdapter, Surroundings } from './adapter.ts';
import { hexOf } from './pci.ts';
import type { TextFiles } from './text-files.ts';

interface Entry {
  /** A cheap look, which may be wrong in favour of the adapter: it looks for itself. */
  readonly suspects: (texts: TextFiles) => Promise<boolean>;
  readonly load: (surroundings: Surroundings) => Promise<FirmwareAdapter>;
}

/** Every adapter by name. Each is loaded only where its like may be: agents are small. */
const CATALOG: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  [
    'linux',
    {
      suspects: () => Promise.resolve(true),
      load: async (surroundings) => (await import('./linux/linux-adapter.ts')).linuxAdapter(surroundings),
    },
  ],
  [
    'raspberry-pi',
    {
      suspects: async (texts) => /Raspberry Pi|raspberrypi,/.test(await treeOf(texts)),
      load: async (surroundings) =>
        (await import('./raspberry-pi/raspberry-pi-adapter.ts')).raspberryPiAdapter(surroundings),
    },
  ],
  [
    'jetson',
    {
      suspects: isTegra,
      load: async (surroundings) => (await import('./jetson/jetson-adapter.ts')).jetsonAdapter(surroundings),
    },
  ],
  [
    'nvidia',
    {
      // A Tegra's GPU is its adapter's: JetPack 6 and 7 have an nvidia-smi too, and it would count the same GPU again.
      suspects: async (texts) =>
        !(await isTegra(texts)) &&
        ((await texts.names('/proc/driver/nvidia')).length > 0 ||
          (await texts.names('/dev')).some((name) => /^nvidia(?:\d+|ctl)$/.test(name))),
      load: async (surroundings) => (await import('./nvidia/nvidia-adapter.ts')).nvidiaAdapter(surroundings),
    },
  ],
  [
    'intel-gpu',
    {
      suspects: async (texts) =>
        (await texts.names('/sys/class/drm')).some((name) => /^card\d+$/.test(name)) &&
        !/nvidia,tegra|Raspberry Pi/.test(await treeOf(texts)),
      load: async (surroundings) => (await import('./intel-gpu/intel-gpu-adapter.ts')).intelGpuAdapter(surroundings),
    },
  ],
  [
    'hailo',
    {
      suspects: async (texts) =>
        (await texts.names('/dev')).some((name) => /^hailo\d/.test(name)) || (await hasOnPci(texts, '1e60')),
      load: async (surroundings) => (await import('./hailo/hailo-adapter.ts')).hailoAdapter(surroundings),
    },
  ],
  [
    'coral',
    {
      suspects: async (texts) =>
        (await texts.names('/dev')).some((name) => name.startsWith('apex_')) ||
        (await hasOnPci(texts, '1ac1')) ||
        (await hasOnUsb(texts, ['1a6e', '18d1'])),
      load: async (surroundings) => (await import('./coral/coral-adapter.ts')).coralAdapter(surroundings),
    },
  ],
  [
    'rockchip-npu',
    {
      suspects: async (texts) => /rockchip,/.test(await treeOf(texts)),
      load: async (surroundings) =>
        (await import('./rockchip-npu/rockchip-npu-adapter.ts')).rockchipNpuAdapter(surroundings),
    },
  ],
]);

export const ADAPTER_NAMES: readonly string[] = [...CATALOG.keys()];

/** The adapter of that name; undefined where there is none. */
export async function adapterNamed(name: string, surroundings: Surroundings): Promise<FirmwareAdapter | undefined> {
  return await CATALOG.get(name)?.load(surroundings);
}

/** Names of the adapters that a look at the machine speaks for. */
export async function suspected(texts: TextFiles): Promise<readonly string[]> {
  const names: string[] = [];
  for (const [name, { suspects }] of CATALOG) if (await suspects(texts)) names.push(name);
  return names;
}

async function treeOf(texts: TextFiles): Promise<string> {
  const [model, compatible] = await Promise.all([
    texts.text('/proc/device-tree/model'),
    texts.text('/proc/device-tree/compatible'),
  ]);
  return `${model ?? ''}\0${compatible ?? ''}`;
}

async function isTegra(texts: TextFiles): Promise<boolean> {
  return (
    /\0nvidia,tegra|Jetson/i.test(await treeOf(texts)) || (await texts.text('/etc/nv_tegra_release')) !== undefined
  );
}

async function hasOnPci(texts: TextFiles, vendor: string): Promise<boolean> {
  return await has(texts, '/sys/bus/pci/devices', 'vendor', [vendor]);
}

async function hasOnUsb(texts: TextFiles, vendors: readonly string[]): Promise<boolean> {
  return await has(texts, '/sys/bus/usb/devices', 'idVendor', vendors);
}

async function has(texts: TextFiles, folder: string, file: string, values: readonly string[]): Promise<boolean> {
  for (const name of await texts.names(folder)) {
    if (values.includes(hexOf(await texts.text(`${folder}/${name}/${file}`)) ?? '')) return true;
  }
  return false;
}
