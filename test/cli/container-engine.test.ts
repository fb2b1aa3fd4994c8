import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { checkEngine } from '../../cli/start-checks.ts';

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
