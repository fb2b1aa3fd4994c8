// Builds the agent's container image, and a file of it to carry to a board.
import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, createWriteStream, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import { layOut } from './deb/lay-out.ts';
import { type DebArchitecture, NODE_BINARIES } from './deb/node-binaries.ts';
import { refuse, toolArguments } from './tool-arguments.ts';

const ENGINES = ['podman', 'docker'] as const;
const USAGE = `usage: npm run image -- [--arch ${Object.keys(NODE_BINARIES).join('|')}] [--engine ${ENGINES.join('|')}] [--base IMAGE]
       [--out build/image] [--version X.Y.Z] [--quick]`;
/** As container engines call what Debian calls armhf. */
const PLATFORMS: Readonly<Record<DebArchitecture, string>> = {
  amd64: 'linux/amd64',
  arm64: 'linux/arm64',
  armhf: 'linux/arm/v7',
};

const about = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const { values } = toolArguments(USAGE, {
  options: {
    arch: { type: 'string', default: 'arm64' },
    engine: { type: 'string' },
    /** Debian 11 or newer, or what has its bash 5, coreutils, util-linux, glibc 2.28 and libstdc++. Default: the Containerfile's. */
    base: { type: 'string' },
    out: { type: 'string', default: 'build/image' },
    version: { type: 'string', default: about.version },
    /** Packs fast, not small: for tests. */
    quick: { type: 'boolean', default: false },
  },
});
const { arch, base, out, version } = values;
if (!Object.hasOwn(NODE_BINARIES, arch)) refuse(`there is no architecture ${arch}`, USAGE);
const architecture = arch as DebArchitecture;
const engine = values.engine ?? ENGINES.find((name) => spawnSync(name, ['--version']).status === 0);
if (engine === undefined) refuse('an image is built by podman or docker: neither is here', USAGE);
if (!ENGINES.some((name) => name === engine)) refuse(`there is no engine ${engine}`, USAGE);

// A name that is no registry's, and the same for both engines: podman would put localhost/ in front by itself.
const tag = `localhost/mesquite-agent:${version}`;
const root = join(out, `root-${architecture}`);
const archive = join(out, `mesquite-agent_${version}_${architecture}.tar`);
const packed = `${archive}.gz`;
mkdirSync(out, { recursive: true });
await layOut(root, architecture, version);
const bases = base === undefined ? [] : ['--build-arg', `BASE=${base}`];
const settings = ['--platform', PLATFORMS[architecture], ...bases, '--tag', tag];
// What the engine says belongs to whoever watches; the last line is for whoever wants the result.
const shown = { stdio: ['ignore', 2, 2] as ['ignore', number, number] };
execFileSync(engine, ['build', ...settings, '--file', 'packaging/Containerfile', root], shown);
rmSync(root, { recursive: true });
rmSync(archive, { force: true });
execFileSync(engine, ['save', '--output', archive, tag], shown);
const level = values.quick ? constants.Z_BEST_SPEED : constants.Z_DEFAULT_COMPRESSION;
await pipeline(createReadStream(archive), createGzip({ level }), createWriteStream(packed));
rmSync(archive);
console.log(`${packed}  ${(statSync(packed).size / 1_048_576).toFixed(1)} MB, ${tag}`);
