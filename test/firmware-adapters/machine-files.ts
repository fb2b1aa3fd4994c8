import type { DeviceFiles, Disk, Host } from '../../io/device-files.ts';
import type { Machine } from './fixtures/machines.ts';

/** What programs print, by their command line; what is not there is no program of the machine. */
export type Programs = Readonly<Record<string, string>>;

/** A machine in memory. */
export function machineFiles(machine: Machine, disk?: Disk, host?: Host, programs: Programs = {}): DeviceFiles {
  const paths = Object.keys(machine);
  return {
    read: (path, maxBytes) => {
      const content = machine[path];
      return Promise.resolve(content === undefined ? undefined : new TextEncoder().encode(content).slice(0, maxBytes));
    },
    list: (folder, maxNames) => {
      const inside = paths.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1));
      const names = new Set(inside.map((path) => path.split('/')[0] ?? ''));
      return Promise.resolve(names.size === 0 ? undefined : [...names].sort().slice(0, maxNames));
    },
    disk: () => Promise.resolve(disk),
    run: (program, argv, maxBytes) => {
      const printed = programs[[program, ...argv].join(' ')];
      return Promise.resolve(printed === undefined ? undefined : new TextEncoder().encode(printed).slice(0, maxBytes));
    },
    host: () => host,
  };
}
