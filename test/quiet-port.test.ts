import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { quietPort } from './quiet-port.ts';

const OTHER = fileURLToPath(new URL('quiet-port-claims.js', import.meta.url));

test('what one has found no other process finds, though nobody listens there', async (t) => {
  const ours = new Set<number>();
  for (let count = 0; count < 500; count += 1) ours.add(await quietPort());
  t.is(ours.size, 500, 'nor does it find one twice itself');
  const other = fork(OTHER, ['500']);
  const [theirs] = (await once(other, 'message')) as [number[]];
  t.is(theirs.length, 500);
  t.deepEqual(
    theirs.filter((port) => ours.has(port)),
    [],
  );
});

test('a port that is in use is passed over, and one that was found can be listened on', async (t) => {
  const server = createServer().listen(await quietPort(), '127.0.0.1');
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
  t.pass();
});
