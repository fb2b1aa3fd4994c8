import type { DebArchitecture } from './node-binaries.ts';

export interface DebFacts {
  readonly version: string;
  readonly architecture: DebArchitecture;
  readonly description: string;
  /** Of Node. */
  readonly node: string;
  /** KiB. */
  readonly size: number;
}

/** Where dpkg keeps the program; the versions that an agent runs as are links to it (docs/install.md). */
export const LIBRARY = 'usr/lib/mesq';

/** Node's official builds ask for glibc 2.28 and the libstdc++ of GCC 8, on ARMv7 of GCC 9. */
export function controlFile({ version, architecture, description, node, size }: DebFacts): string {
  const [runtime, atomic] = architecture === 'armhf' ? ['9', ', libatomic1'] : ['8', ''];
  return `Package: mesq
Version: ${version}
Architecture: ${architecture}
Maintainer: The Mesquite authors <mesquite@localhost>
Installed-Size: ${size}
Depends: libc6 (>= 2.28), libstdc++6 (>= ${runtime}), libgcc-s1 | libgcc1${atomic}, bash (>= 5.0), coreutils, util-linux
Recommends: systemd
Section: admin
Priority: optional
Description: ${description.split(':')[0]}
 Brings Node ${node} along for itself. After the installation:
 mesq agent install makes this machine part of a cluster,
 mesq help lists everything else.
`;
}

/** An agent that is installed goes on to the new version, or stays with the old one; the package is configured all the same. */
export const POST_INSTALL = `#!/bin/sh
set -e
root=\${DPKG_ROOT:-}
if [ "$1" = configure ] && [ -e "$root/etc/systemd/system/mesq-agent.service" ]; then
  "$root/${LIBRARY}/bin/mesq" agent upgrade --root "\${root:-/}" ||
    echo "mesq: the agent keeps running its former version; to try again: mesq agent upgrade" >&2
fi
`;

/** Whatever the agent has stays until the package is purged. */
export const PRE_REMOVE = `#!/bin/sh
set -e
root=\${DPKG_ROOT:-}
if [ "$1" = remove ] && [ -e "$root/etc/systemd/system/mesq-agent.service" ]; then
  "$root/${LIBRARY}/bin/mesq" agent uninstall --force --keep-data --root "\${root:-/}"
fi
`;

export const POST_REMOVE = `#!/bin/sh
set -e
root=\${DPKG_ROOT:-}
if [ "$1" = purge ]; then
  rm -rf "$root/var/lib/mesq/agent"
  rmdir "$root/var/lib/mesq" 2>/dev/null || true
fi
`;
