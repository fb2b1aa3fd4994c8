import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programText } from '../../cli/start-versions.ts';
import { fetchNode } from './fetch-node.ts';
import { LIBRARY } from './files.ts';
import type { DebArchitecture } from './node-binaries.ts';

const CACHE = process.env['MESQ_NODE_CACHE'] ?? 'node_modules/.cache/mesq-node';

/**
 * Lays out below `root`, which is emptied first, what a machine gets of us: the bundle in `build/cli`, its program, and a Node
 * for the architecture. Gives Node's version. Throws as {@link fetchNode} does.
 */
export async function layOut(root: string, architecture: DebArchitecture, version: string): Promise<string> {
  const node = await fetchNode(architecture, CACHE);
  if (node.second)
    console.error(
      `${architecture}: Node ${node.version}, since the pinned release was out of reach: not for a release`,
    );
  // Modes are the package's, and no matter of who builds it.
  process.umask(0o022);
  rmSync(root, { recursive: true, force: true });
  const manifest = { name: 'mesquite', version, type: 'module' };
  putFile(root, `${LIBRARY}/package.json`, `${JSON.stringify(manifest)}\n`, 0o644);
  putFile(root, `${LIBRARY}/bin/mesq`, programText(undefined), 0o755);
  copyFileSync(node.program, join(root, LIBRARY, 'bin/node'));
  mkdirSync(join(root, LIBRARY, 'build/cli'), { recursive: true });
  for (const name of readdirSync('build/cli'))
    if (/^(main|chunk-.*)\.js$/.test(name))
      putFile(root, `${LIBRARY}/build/cli/${name}`, readFileSync(join('build/cli', name), 'utf8'), 0o644);
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  symlinkSync('../lib/mesq/bin/mesq', join(root, 'usr/bin/mesq'));
  const licences = `Mesquite\n\n${readFileSync('LICENSE', 'utf8')}\n\nNode ${node.version}\n\n${readFileSync(node.licence, 'utf8')}`;
  putFile(root, 'usr/share/doc/mesq/copyright', licences, 0o644);
  // Messages name pages by these paths.
  for (const page of readdirSync('docs', { recursive: true, encoding: 'utf8' }).sort())
    if (page.endsWith('.md'))
      putFile(root, `usr/share/doc/mesq/docs/${page}`, readFileSync(join('docs', page), 'utf8'), 0o644);
  return node.version;
}

export function putFile(root: string, path: string, text: string, mode: number): void {
  mkdirSync(join(root, path, '..'), { recursive: true, mode: 0o755 });
  writeFileSync(join(root, path), text, { mode });
}
