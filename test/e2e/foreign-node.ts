import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const EMULATORS = {
  arm64: { qemu: ['qemu-aarch64', 'qemu-aarch64-static'], libraries: '/usr/aarch64-linux-gnu' },
  armhf: { qemu: ['qemu-arm', 'qemu-arm-static'], libraries: '/usr/arm-linux-gnueabihf' },
} as const;

/** How a Node for another architecture is run here, under qemu-user with that architecture's libraries; an error that says what is missing. */
export function foreignNode(architecture: keyof typeof EMULATORS, node: string): string[] | Error {
  const { qemu, libraries } = EMULATORS[architecture];
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = qemu.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
  if (found === undefined) return new Error(`${qemu[0]} is not here (apt install qemu-user)`);
  if (!existsSync(join(libraries, 'lib/libstdc++.so.6')))
    return new Error(`the libraries of ${architecture} are not here (apt install libc6-${architecture}-cross …)`);
  return [found, '-L', libraries, node];
}
