import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemProber } from '../../io/node/prober.ts';
import type { Probe } from '../../io/prober.ts';

const LONG_MS = 60_000;

function shell(line: string, folder = tmpdir()): Probe {
  return { kind: 'command', argv: ['sh', '-c', line], environment: { LEVEL: '3' }, folder };
}

test('commands: exit codes as a shell has them, in their folder, with their environment and nothing of the agent', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-prober-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const prober = systemProber(4);
  process.env['MESQ_SECRET_OF_THE_AGENT'] = 'x';
  const line = 'echo "$LEVEL $MESQ_SECRET_OF_THE_AGENT" >seen; exit 3';
  t.deepEqual(await prober.probe(shell(line, folder), LONG_MS), { exitCode: 3 });
  t.is(readFileSync(join(folder, 'seen'), 'utf8'), '3 \n');
  t.deepEqual(await prober.probe(shell('kill -9 $$'), LONG_MS), { exitCode: 137 });
  const missing = { ...shell(''), argv: ['/nonexistent/program'] } as Probe;
  t.deepEqual(await prober.probe(missing, LONG_MS), { exitCode: 127 });
});

test('a command that takes too long ends, with what it started, and the next in line gets its place', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-prober-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const prober = systemProber(1);
  const slow = prober.probe(shell('sleep 1000 & echo $! >pid; wait', folder), 300);
  const next = prober.probe(shell('exit 0'), LONG_MS);
  t.regex((await slow).trouble ?? '', /no answer within 300 ms/);
  t.deepEqual(await next, { exitCode: 0 });
  // On a busy machine it may have ended before it could start anything.
  const file = join(folder, 'pid');
  const pid = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  const alive = (): boolean => {
    if (pid === '') return false;
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] !== 'Z';
    } catch {
      return false;
    }
  };
  while (alive()) await new Promise((resolve) => setImmediate(resolve));
  t.pass();
});

test('HTTP: the status, not where it leads, and not the body', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/silent') return;
    const status = request.url === '/bad' ? 503 : request.url === '/moved' ? 302 : 200;
    response.writeHead(status, { location: '/nowhere' });
    // An answer that never ends.
    response.write('x');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const prober = systemProber(1);
  const at = (path: string): Probe => ({ kind: 'http', scheme: 'http', port, path });
  t.deepEqual(await prober.probe(at('/'), LONG_MS), { statusCode: 200 });
  t.deepEqual(await prober.probe(at('/bad'), LONG_MS), { statusCode: 503 });
  t.deepEqual(await prober.probe(at('/moved'), LONG_MS), { statusCode: 302 });
  t.truthy((await prober.probe(at('/silent'), 200)).trouble);
  t.truthy((await prober.probe({ kind: 'http', scheme: 'https', port, path: '/' }, LONG_MS)).trouble);
});

test('TCP: a connection opens, or does not; a stopped prober asks nobody', async (t) => {
  const server = createTcp();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const prober = systemProber(1);
  t.deepEqual(await prober.probe({ kind: 'tcp', port }, LONG_MS), { connected: true });
  await new Promise((resolve) => server.close(resolve));
  t.like(await prober.probe({ kind: 'tcp', port }, LONG_MS), { connected: false });
  const waiting = prober.probe(shell('sleep 1000'), LONG_MS);
  prober.stop();
  t.deepEqual(await waiting, { trouble: 'the agent stops' });
  t.deepEqual(await prober.probe({ kind: 'tcp', port }, LONG_MS), { trouble: 'the agent stops' });
});
