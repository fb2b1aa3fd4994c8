import type { DeviceFiles } from '../../io/device-files.ts';
import type { Identity } from '../../protocol/agent-link.ts';
import type { Attributes } from '../../protocol/attributes.ts';
import type { Resource, Resources } from '../../protocol/resources.ts';
import type { FirmwareAdapter, Probe, Surroundings } from '../adapter.ts';
import { attribute } from '../attribute.ts';
import { fieldOf, type TextFiles, textFiles } from '../text-files.ts';
import { architectureOf, boardOf, modelOf, productOf, serialOf, systemOf } from './board.ts';
import {
  BYTES_PER_MB,
  DEFAULT_PORTS,
  diskOnOffer,
  FALLBACK_CPUS,
  FALLBACK_DISK_MB,
  FALLBACK_MEMORY_MB,
  memoryOnOffer,
} from './defaults.ts';
import { cpusOf, memoryBytesOf } from './hardware.ts';
import { sampleOf } from './health.ts';

const DISK_TIMEOUT_MS = 2_000;
/** The longest word of the agent link. */
const WORD_LENGTH = 128;

interface LinuxAdapter extends FirmwareAdapter<Probe> {
  probe(): Promise<Probe>;
}

/** Any Linux machine, by what its kernel and its device tree or firmware say. Needs no rights and no programs. */
export function linuxAdapter({ files, dataFolder }: Surroundings): LinuxAdapter {
  return {
    name: 'linux',
    capabilities: { processes: true, actions: [] },
    probe: async (): Promise<Probe> => {
      const texts = textFiles(files);
      const [found, hostname, identity, boot] = await Promise.all([
        resourcesOf(files, texts, dataFolder),
        hostnameOf(files, texts),
        identityOf(texts),
        texts.text('/proc/sys/kernel/random/boot_id'),
      ]);
      const attributes = await attributesOf(files, texts, hostname);
      return { ...found, attributes, devices: [], identity, boot: word(boot), hostname };
    },
    sample: () => sampleOf(files, dataFolder),
    act: (action) => Promise.resolve({ done: false, message: `linux has no action ${action}` }),
  };
}

async function resourcesOf(
  files: DeviceFiles,
  texts: TextFiles,
  dataFolder: string,
): Promise<{ resources: Resources; notes: readonly string[] }> {
  const [cpus, memoryBytes, disk] = await Promise.all([
    cpusOf(texts),
    memoryBytesOf(texts),
    files.disk(dataFolder, DISK_TIMEOUT_MS),
  ]);
  const host = files.host();
  const notes: string[] = [];
  const known = (value: number | undefined, fallback: number, note: string): number => {
    if (value !== undefined) return value;
    notes.push(note);
    return fallback;
  };
  const allCpus = known(cpus ?? host?.cpus, FALLBACK_CPUS, `the number of cpus is unknown: offering ${FALLBACK_CPUS}`);
  const bytes = memoryBytes ?? host?.memoryBytes;
  const mem = known(
    bytes === undefined ? undefined : memoryOnOffer(bytes),
    FALLBACK_MEMORY_MB,
    `the size of the memory is unknown: offering ${FALLBACK_MEMORY_MB} MB`,
  );
  const diskMb = known(
    disk === undefined ? undefined : diskOnOffer(disk.totalBytes),
    FALLBACK_DISK_MB,
    `the size of the disk is unknown: offering ${FALLBACK_DISK_MB} MB`,
  );
  const freeMb = disk === undefined ? diskMb : Math.floor(disk.freeBytes / BYTES_PER_MB);
  if (freeMb < diskMb)
    notes.push(
      `only ${freeMb} MB of the disk are free, of ${diskMb} MB on offer: --resources disk:${freeMb} offers less`,
    );
  const resources: readonly Resource[] = [
    { name: 'cpus', scalar: Math.round(allCpus * 1000) },
    { name: 'mem', scalar: mem * 1000 },
    { name: 'disk', scalar: diskMb * 1000 },
    { name: 'ports', ranges: [DEFAULT_PORTS] },
  ];
  return { resources: resources.filter(({ scalar }) => scalar !== 0), notes };
}

async function attributesOf(files: DeviceFiles, texts: TextFiles, hostname: string): Promise<Attributes> {
  const [machine, osRelease, kernel, model, product, cpuinfo] = await Promise.all([
    texts.text('/proc/sys/kernel/arch'),
    texts.text('/etc/os-release'),
    texts.text('/proc/sys/kernel/osrelease'),
    texts.text('/proc/device-tree/model'),
    texts.text('/sys/class/dmi/id/product_name'),
    texts.text('/proc/cpuinfo'),
  ]);
  const arch = files.host()?.architecture ?? (machine === undefined ? undefined : architectureOf(machine));
  const board = boardOf(model ?? '') ?? productOf(product ?? '');
  const isVirtual = / hypervisor( |$)/.test(fieldOf(cpuinfo ?? '', 'flags') ?? '');
  return [
    ...attribute('arch', arch ?? architectureByCpuinfo(cpuinfo ?? '')),
    ...attribute('os', systemOf(osRelease ?? '')),
    ...attribute('kernel', kernel),
    ...attribute('hostname', hostname),
    ...attribute('board', board),
    ...attribute('model', modelOf(model ?? '') ?? modelOf(product ?? '')),
    ...attribute('virtual', isVirtual ? 'true' : undefined),
  ];
}

/** For kernels before 6.1, which have no file for it, below a sysroot. */
function architectureByCpuinfo(cpuinfo: string): string | undefined {
  if (fieldOf(cpuinfo, 'vendor_id') !== undefined) return 'x64';
  const generation = fieldOf(cpuinfo, 'CPU architecture');
  if (generation === undefined) return undefined;
  return generation === '8' ? 'arm64' : 'arm';
}

async function hostnameOf(files: DeviceFiles, texts: TextFiles): Promise<string> {
  const [kernel, file] = await Promise.all([texts.text('/proc/sys/kernel/hostname'), texts.text('/etc/hostname')]);
  return word(files.host()?.hostname ?? kernel ?? file ?? 'localhost');
}

/** What stays with the hardware: an SD card that is copied takes the first along, and not the second. */
async function identityOf(texts: TextFiles): Promise<Identity> {
  const [machine, tree, uuid, cpuinfo] = await Promise.all([
    texts.text('/etc/machine-id'),
    texts.text('/proc/device-tree/serial-number'),
    texts.text('/sys/class/dmi/id/product_uuid'),
    texts.text('/proc/cpuinfo'),
  ]);
  const serials = [tree, fieldOf(cpuinfo ?? '', 'Serial'), uuid].map((text) => serialOf(text ?? ''));
  const isMinted = machine !== undefined && /^[0-9a-f]{32}$/.test(machine);
  return { machine: isMinted ? machine : '', serial: serials.find((serial) => serial !== undefined) ?? '' };
}

function word(text: string | undefined): string {
  return (text ?? '').replace(/[^\x21-\x7e]/g, '').slice(0, WORD_LENGTH);
}
