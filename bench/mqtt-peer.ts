import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';

/** A bundled MQTT.js client with one subscription, run by `node`: as little as a process that speaks MQTT can be. */
export async function startPeer(folder: string, url: string, node = process.execPath): Promise<ChildProcess> {
  const source = join(folder, 'peer.mjs');
  writeFileSync(
    source,
    `import mqtt from 'mqtt';
const client = mqtt.connect(process.argv[2], { clientId: 'peer', username: 'peer', writeCache: false });
client.on('connect', () => client.subscribe('mesq/leader', () => console.log('subscribed')));
`,
  );
  const bundle = join(folder, 'peer.bundle.mjs');
  await build({
    entryPoints: [source],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'node',
    minify: true,
    logLevel: 'warning',
    alias: { mqtt: createRequire(import.meta.url).resolve('mqtt') },
    banner: {
      js: "import { createRequire as requireOf } from 'node:module';const require = requireOf(import.meta.url);",
    },
  });
  const peer = spawn(node, [bundle, url], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    peer.stdout.once('data', () => resolve());
    peer.once('exit', () => reject(new Error('the MQTT client ended')));
  });
  return peer;
}
