import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSocket, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { checkEngine } from '../../cli/start-checks.ts';
import { engineOf } from '../../cli/start-containers.ts';

test('mesq doctor says which container engine answers, and fails no machine that has none', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-engine-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const socket = join(folder, 'podman.sock');
  const nobody = await checkEngine([socket]);
  t.like(nobody, { state: 'ok', text: 'no container engine answers' });
  t.regex(nobody.hint ?? '', /podman\.socket/);

  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ Version: '4.9.3', Components: [{ Name: 'Podman Engine', Version: '4.9.3' }] }));
  });
  t.teardown(() => server.close());
  await once(server.listen(socket), 'listening');
  t.deepEqual(await checkEngine([join(folder, 'absent'), socket]), {
    name: 'engine',
    state: 'ok',
    text: `podman 4.9.3 at ${socket}`,
  });
});

test('an engine that never answers does not hold up the agent, which finds it when it does', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-engine-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const containers = join(folder, 'docker.sock');
  let asked = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const held: Socket[] = [];
  const server = createSocket((socket) => {
    held.push(socket);
    asked();
  });
  await once(server.listen(containers), 'listening');
  t.teardown(() => server.close());
  const nothing = (): void => undefined;
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const engine = await engineOf({ containers }, log, 100);
  t.false(engine?.there);
  await first;
  const appeared = new Promise<void>((resolve) => engine?.onAppeared(resolve));
  const body = JSON.stringify({ Version: '27.0.1', Components: [] });
  held[0]?.end(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  await appeared;
  t.like(engine?.found, { engine: 'docker', version: '27.0.1' });
});
