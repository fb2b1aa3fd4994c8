// Builds a Debian package an architecture, each with a Node of its own: npm run deb -- [--arch arm64,armhf,amd64]
// [--out build/deb] [--version X.Y.Z] [--quick]. Needs dpkg-deb.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { programText } from '../cli/start-versions.ts';
import { fetchNode } from './deb/fetch-node.ts';
import { controlFile, LIBRARY, POST_INSTALL, POST_REMOVE, PRE_REMOVE } from './deb/files.ts';
import { type DebArchitecture, NODE_BINARIES } from './deb/node-binaries.ts';

const about = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string; description: string };
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: Object.keys(NODE_BINARIES).join(',') },
    out: { type: 'string', default: 'build/deb' },
    version: { type: 'string', default: about.version },
    /** Packs fast, not small: for tests. */
    quick: { type: 'boolean', default: false },
  },
});
const CACHE = process.env['MESQ_NODE_CACHE'] ?? 'node_modules/.cache/mesq-node';

for (const architecture of values.arch.split(',')) {
  if (!Object.hasOwn(NODE_BINARIES, architecture)) throw new Error(`there is no architecture ${architecture}`);
  await build(architecture as DebArchitecture);
}

async function build(architecture: DebArchitecture): Promise<void> {
  const node = await fetchNode(architecture, CACHE);
  if (node.second)
    console.error(
      `${architecture}: Node ${node.version}, since the pinned release was out of reach: not for a release`,
    );
  const { out, version } = values;
  const root = join(out, `root-${architecture}`);
  rmSync(root, { recursive: true, force: true });
  const put = (path: string, text: string, mode: number): void => {
    mkdirSync(join(root, path, '..'), { recursive: true, mode: 0o755 });
    writeFileSync(join(root, path), text, { mode });
  };
  const manifest = { name: 'mesquite', version, type: 'module' };
  put(`${LIBRARY}/package.json`, `${JSON.stringify(manifest)}\n`, 0o644);
  put(`${LIBRARY}/bin/mesq`, programText(undefined), 0o755);
  copyFileSync(node.program, join(root, LIBRARY, 'bin/node'));
  mkdirSync(join(root, LIBRARY, 'build/cli'), { recursive: true });
  for (const name of readdirSync('build/cli'))
    if (/^(main|chunk-.*)\.js$/.test(name))
      put(`${LIBRARY}/build/cli/${name}`, readFileSync(join('build/cli', name), 'utf8'), 0o644);
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  symlinkSync('../lib/mesq/bin/mesq', join(root, 'usr/bin/mesq'));
  const licences = `Mesquite\n\n${readFileSync('LICENSE', 'utf8')}\n\nNode ${node.version}\n\n${readFileSync(node.licence, 'utf8')}`;
  put('usr/share/doc/mesq/copyright', licences, 0o644);
  const size = Math.ceil(sizeOf(root) / 1024);
  const facts = { version, architecture, description: about.description, node: node.version, size };
  put('DEBIAN/control', controlFile(facts), 0o644);
  put('DEBIAN/postinst', POST_INSTALL, 0o755);
  put('DEBIAN/prerm', PRE_REMOVE, 0o755);
  put('DEBIAN/postrm', POST_REMOVE, 0o755);
  const file = join(out, `mesq_${version}_${architecture}.deb`);
  const packing = values.quick ? ['-Zgzip', '-z1'] : ['-Zxz'];
  // The times of the files are those of the commit, where the builder says so (SOURCE_DATE_EPOCH).
  execFileSync('dpkg-deb', ['--root-owner-group', ...packing, '--build', root, file], {
    stdio: ['ignore', 'ignore', 2],
  });
  rmSync(root, { recursive: true, force: true });
  console.log(`${file}  ${(statSync(file).size / 1_048_576).toFixed(1)} MB, Node ${node.version}`);
}

function sizeOf(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  return bytes;
}
