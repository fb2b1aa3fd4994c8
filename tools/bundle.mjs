// Bundles the command line into build/cli: one entry and its chunks, so that a verb loads what it needs and no more.
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const folder = 'build/cli';

for (const name of readdirSync(folder)) {
  if (/^chunk-.*\.js$/.test(name)) rmSync(join(folder, name));
}

/** What MQTT.js and cbor-x carry and we never call: 225 kB that every agent would parse and keep (docs/decisions/0010-lean-bundle.md). */
const alias = {
  // Node's own streams, copied for browsers; Node's are there already.
  'readable-stream': 'node:stream',
  // Prints where the variable DEBUG says so, and looks at the terminal for that; we log by ourselves.
  debug: './tools/bundled/no-debug.cjs',
  // Timers in a web worker. `timerVariant: 'native'` (io/node/mqtt-bus.ts) never calls them.
  'worker-timers': './tools/bundled/no-worker-timers.cjs',
  // Topic aliases of MQTT 5; we speak 3.1.1.
  'lru-cache': './tools/bundled/no-lru-cache.cjs',
  // A native decoder, which no bundle can carry.
  'cbor-extract': './tools/bundled/no-cbor-extract.cjs',
};

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
  alias,
  // Some dependencies are CommonJS, and ask for Node's own modules by `require`.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module';const require = requireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync(join(folder, 'main.js'), 0o755);
