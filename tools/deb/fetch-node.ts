import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { type DebArchitecture, NODE_BINARIES, type NodeSource } from './node-binaries.ts';

const run = promisify(execFile);
const FETCH_MS = 300_000;

export interface FetchedNode {
  readonly version: string;
  /** The program, and Node's licence beside it. */
  readonly program: string;
  readonly licence: string;
  /** Not what a release is made with: the preferred source was out of reach. */
  readonly second: boolean;
}

/** Could not be reached; anything else, a wrong digest above all, is an error. */
class OutOfReach extends Error {}

/** The binary for an architecture, from the cache where it is there. Throws where no source can be reached, or what came is not what is pinned. */
export async function fetchNode(architecture: DebArchitecture, cache: string): Promise<FetchedNode> {
  const { sources, machine } = NODE_BINARIES[architecture];
  const problems: string[] = [];
  for (const source of sources) {
    const folder = join(cache, `${architecture}-${source.version}-${source.kind}`);
    try {
      if (!existsSync(join(folder, 'node'))) await unpack(await fetched(source, cache), folder);
      await checkMachine(join(folder, 'node'), machine);
      const [program, licence] = [join(folder, 'node'), join(folder, 'LICENSE')];
      return { version: source.version, program, licence, second: source.version !== sources[0]?.version };
    } catch (error) {
      if (!(error instanceof OutOfReach)) throw error;
      problems.push(error.message);
    }
  }
  throw new Error(`no Node for ${architecture}:\n  ${problems.join('\n  ')}`);
}

/** The archive, whole and as pinned. Another process may be fetching the same: each has a folder of its own to do it in. */
async function fetched(source: NodeSource, cache: string): Promise<string> {
  await mkdir(cache, { recursive: true });
  const name = source.kind === 'release' ? basename(source.url) : `${source.name}-${source.version}.tgz`;
  const path = join(cache, name);
  if (!existsSync(path)) {
    const folder = await mkdtemp(join(cache, 'fetching-'));
    try {
      if (source.kind === 'release') await writeFile(join(folder, name), await download(source.url));
      else await npmPack(`${source.name}@${source.version}`, folder);
      await rename(join(folder, name), path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  if (source.kind === 'release') return verified(path, 'sha256', 'hex', source.sha256);
  return verified(path, 'sha512', 'base64', source.integrity.replace(/^sha512-/, ''));
}

async function download(url: string): Promise<Uint8Array> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS) }).catch((error: unknown) => {
    throw new OutOfReach(`${url}: ${error instanceof Error ? error.message : String(error)}`);
  });
  if (!answer.ok) throw new OutOfReach(`${url}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function npmPack(name: string, folder: string): Promise<void> {
  await run('npm', ['pack', '--silent', '--pack-destination', folder, name]).catch((error: unknown) => {
    const { stderr = '' } = error as { stderr?: string };
    throw new OutOfReach(`${name}: npm pack: ${stderr.trim().split('\n')[0] ?? ''}`);
  });
}

async function verified(path: string, algorithm: string, encoding: 'hex' | 'base64', pinned: string): Promise<string> {
  const digest = createHash(algorithm)
    .update(await readFile(path))
    .digest(encoding);
  if (digest === pinned) return path;
  await rm(path);
  throw new Error(`${basename(path)} is not what is pinned: its ${algorithm} is ${digest}, not ${pinned}`);
}

async function unpack(archive: string, folder: string): Promise<void> {
  const making = await mkdtemp(`${folder}.`);
  const wanted = ['--wildcards', '*/bin/node', '*/LICENSE'];
  await run('tar', ['-xzf', archive, '-C', making, '--strip-components=1', '--no-same-owner', ...wanted]);
  await rename(join(making, 'bin/node'), join(making, 'node'));
  await rename(making, folder).catch(async (error: unknown) => {
    await rm(making, { recursive: true });
    if (!existsSync(join(folder, 'node'))) throw error;
  });
}

async function checkMachine(program: string, machine: number): Promise<void> {
  const handle = await open(program);
  const { buffer } = await handle.read(Buffer.alloc(20), 0, 20, 0);
  await handle.close();
  const found = buffer.readUInt16LE(18);
  if (buffer.readUInt32BE(0) !== 0x7f454c46 || found !== machine)
    throw new Error(`${program} is a program for machine ${found}, not ${machine}`);
}
