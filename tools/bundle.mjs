// Bundles the command line into build/cli: one entry and its chunks, so that a verb loads what it needs and no more.
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const folder = 'build/cli';

for (const name of readdirSync(folder)) {
  if (/^chunk-.*\.js$/.test(name)) rmSync(join(folder, name));
}

await build({
  entryPoints: { main: 'cli/main.ts' },
  outdir: folder,
  chunkNames: 'chunk-[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  // Some dependencies are CommonJS, and ask for Node's own modules by `require`.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module';const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync(join(folder, 'main.js'), 0o755);
