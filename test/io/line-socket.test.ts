import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { LineListener } from '../../io/line-socket.ts';
import { connectLines, listenLines } from '../../io/node/line-socket.ts';
import { LINE_SOCKET_CHECKS } from '../conformance/line-socket.ts';
import { eventually } from '../e2e/cluster.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedLineSocket } from '../sim/line-socket.ts';

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-lines-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A folder whose path is too long for a socket. */
async function deepFolder(t: ExecutionContext): Promise<string> {
  const folder = join(await temporaryFolder(t), ...Array.from({ length: 12 }, () => 'a-long-name'));
  await mkdir(folder, { recursive: true });
  return folder;
}

for (const [name, check] of Object.entries(LINE_SOCKET_CHECKS)) {
  test(`simulated: ${name}`, async (t) => {
    const clock = new VirtualClock();
    const socket = new SimulatedLineSocket(clock);
    await check(t, {
      listen: () => Promise.resolve(socket.listen()),
      connect: () => socket.connect(),
      until: (done) => clock.until(done, 60_000),
    });
  });

  test(`Unix socket: ${name}`, async (t) => {
    const folder = await temporaryFolder(t);
    const listeners: LineListener[] = [];
    t.teardown(() => listeners.at(-1)?.close());
    await check(t, {
      listen: async () => {
        await listeners.at(-1)?.close();
        const listener = await listenLines(join(folder, 'executors'), 'socket');
        listeners.push(listener);
        return listener;
      },
      connect: (listener) => connectLines(listener.pathFrom(folder)),
      until: async (done) => void (await eventually(() => done() || undefined)),
    });
  });
}

test('the socket and its folder are for this user alone, and one that a dead process left is replaced', async (t) => {
  const folder = await temporaryFolder(t);
  const listener = await listenLines(join(folder, 'executors'), 'socket');
  t.is((await stat(join(folder, 'executors'))).mode & 0o777, 0o700);
  t.is((await stat(join(folder, 'executors', 'socket'))).mode & 0o777, 0o600);
  // The name is taken over while the listener before still has it, as after a kill -9.
  const second = await listenLines(join(folder, 'executors'), 'socket');
  const accepted = new Promise((taken) => second.onConnection(taken));
  const connection = await connectLines(second.pathFrom(folder));
  await accepted;
  connection.close();
  await second.close();
  await listener.close();
});

test('a path too long for an address is reached from the folder that the process works in', async (t) => {
  const folder = await deepFolder(t);
  const listener = await listenLines(folder, 'socket');
  t.teardown(() => listener.close());
  const work = join(folder, 'tasks', 'x', 'work');
  const path = listener.pathFrom(work);
  t.is(resolve(work, path), join(folder, 'socket'));
  t.true(path.length < 108);
});

test('bytes that are no UTF-8 do no harm', async (t) => {
  const folder = await temporaryFolder(t);
  const listener = await listenLines(folder, 'socket');
  t.teardown(() => listener.close());
  const lines: string[] = [];
  listener.onConnection((connection) => connection.onLine((line) => void lines.push(line)));
  const socket = connect({ path: join(folder, 'socket') });
  socket.end(Buffer.from([0xff, 0xc3, 0x28, 0x0a, 0x61, 0x0a]));
  await eventually(() => lines.length === 2 || undefined);
  t.is(lines[1], 'a');
});
