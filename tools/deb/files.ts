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

/**
 * Refuses where our Node cannot run, in words: apt names glibc's version alone, and takes ARMv6 for any other armhf. An image that is made on
 * another machine is not looked at.
 */
export const PRE_INSTALL = `#!/bin/sh
set -e
[ -z "\${DPKG_ROOT:-}" ] || exit 0
if [ "$(uname -m)" = armv6l ]; then
  echo "mesq: this board is ARMv6 (Pi 1, Zero, Zero W), and there is no Node 22 for it: it cannot run an agent, in a container neither" >&2
  exit 1
fi
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || exit 0
case \${glibc#glibc } in
2.? | 2.1? | 2.2[0-7])
  echo "mesq: this system has $glibc (JetPack 4 is such a system), and Node needs 2.28: run the agent as a container instead." >&2
  echo "mesq: on another machine, in a checkout: npm run image -- --arch $(dpkg --print-architecture)" >&2
  echo "mesq: here: docker load, and the docker run of docs/install.md, As a container" >&2
  exit 1
  ;;
esac
`;

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
