import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

/** A registry of one image (OCI distribution, the part that a pull needs), which counts and can break off. */
export interface OwnRegistry {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  readonly image: string;
  /** Paths of layers asked for, in order. */
  readonly asked: string[];
  /** Of the layer with that number, only half is sent from now on, then the connection breaks. */
  broken: number | undefined;
  stop(): Promise<void>;
}

const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const CONFIG = 'application/vnd.docker.container.image.v1+json';

/** `tars`: one a layer. */
export async function startRegistry(tars: readonly Buffer[]): Promise<OwnRegistry> {
  const layers = tars.map((tar) => gzipSync(tar));
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Cmd: ['/bin/printf', 'from the image'] },
      rootfs: { type: 'layers', diff_ids: tars.map(digestOf) },
    }),
  );
  const described = (mediaType: string, bytes: Buffer) => ({ mediaType, size: bytes.length, digest: digestOf(bytes) });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: described(CONFIG, config),
      layers: layers.map((layer) => described(LAYER, layer)),
    }),
  );
  const blobs = new Map([...layers, config].map((bytes) => [digestOf(bytes), bytes]));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { url = '', method } = request;
    const [, kind, name = ''] = /^\/v2\/mesq\/test\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
    if (url === '/v2/') return void response.end('{}');
    if (kind === 'manifests' && (name === '1' || name === digestOf(manifest)))
      return send(response, method, manifest, MANIFEST);
    const blob = kind === 'blobs' ? blobs.get(name) : undefined;
    if (blob === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' });
      return void response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    }
    const index = layers.indexOf(blob);
    if (index >= 0) asked.push(String(index));
    if (index >= 0 && index === registry.broken) {
      response.writeHead(200, { 'content-length': blob.length });
      response.write(blob.subarray(0, blob.length / 2), () => response.destroy());
      return;
    }
    send(response, method, blob, 'application/octet-stream');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const registry: OwnRegistry = {
    address,
    image: `${address}/mesq/test:1`,
    asked,
    broken: undefined,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return registry;
}

function send(response: ServerResponse, method: string | undefined, bytes: Buffer, type: string): void {
  response.writeHead(200, {
    'content-type': type,
    'content-length': bytes.length,
    'docker-content-digest': digestOf(bytes),
  });
  response.end(method === 'HEAD' ? undefined : bytes);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
