// Builds a Debian package an architecture, each with a Node of its own. Needs dpkg-deb.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { controlFile, POST_INSTALL, POST_REMOVE, PRE_INSTALL, PRE_REMOVE } from './deb/files.ts';
import { layOut, putFile } from './deb/lay-out.ts';
import { type DebArchitecture, NODE_BINARIES } from './deb/node-binaries.ts';
import { refuse, toolArguments } from './tool-arguments.ts';

const USAGE = `usage: npm run deb -- [--arch ${Object.keys(NODE_BINARIES).join(',')}] [--out build/deb] [--version X.Y.Z] [--quick]`;

const about = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string; description: string };
const { values } = toolArguments(USAGE, {
  options: {
    arch: { type: 'string', default: Object.keys(NODE_BINARIES).join(',') },
    out: { type: 'string', default: 'build/deb' },
    version: { type: 'string', default: about.version },
    /** Packs fast, not small: for tests. */
    quick: { type: 'boolean', default: false },
  },
});

const architectures = values.arch.split(',');
for (const architecture of architectures)
  if (!Object.hasOwn(NODE_BINARIES, architecture)) refuse(`there is no architecture ${architecture}`, USAGE);
for (const architecture of architectures) await build(architecture as DebArchitecture);

async function build(architecture: DebArchitecture): Promise<void> {
  const { out, version } = values;
  const root = join(out, `root-${architecture}`);
  const node = await layOut(root, architecture, version);
  const size = Math.ceil(sizeOf(root) / 1024);
  const facts = { version, architecture, description: about.description, node, size };
  putFile(root, 'DEBIAN/control', controlFile(facts), 0o644);
  putFile(root, 'DEBIAN/preinst', PRE_INSTALL, 0o755);
  putFile(root, 'DEBIAN/postinst', POST_INSTALL, 0o755);
  putFile(root, 'DEBIAN/prerm', PRE_REMOVE, 0o755);
  putFile(root, 'DEBIAN/postrm', POST_REMOVE, 0o755);
  const file = join(out, `mesq_${version}_${architecture}.deb`);
  const packing = values.quick ? ['-Zgzip', '-z1'] : ['-Zxz'];
  // The times of the files are those of the commit, where the builder says so (SOURCE_DATE_EPOCH).
  execFileSync('dpkg-deb', ['--root-owner-group', ...packing, '--build', root, file], {
    stdio: ['ignore', 'ignore', 2],
  });
  rmSync(root, { recursive: true, force: true });
  console.log(`${file}  ${(statSync(file).size / 1_048_576).toFixed(1)} MB, Node ${node}`);
}

function sizeOf(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  return bytes;
}
