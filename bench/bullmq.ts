import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

/** How many jobs a worker has in hand, as they were measured best: more than two cores gain nothing of more. */
const AT_ONCE = [8, 32];

/**
 * What the peer runs: one process that queues and works, as little as BullMQ can be. Its rate counts from the first job
 * queued to the last one heard completed.
 */
const PROGRAM = `import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
const [modules, path, count, ...concurrencies] = process.argv.slice(2);
const { Queue, Worker } = createRequire(modules)('bullmq');
const connection = { path, maxRetriesPerRequest: null };
const once = async (total, concurrency) => {
  const name = 'q' + process.hrtime.bigint();
  const queue = new Queue(name, { connection });
  const run = () => new Promise((resolve, reject) => {
    spawn('/bin/true', { stdio: 'ignore' }).once('error', reject).once('exit', (code) => code === 0 ? resolve(0) : reject(new Error(String(code))));
  });
  const worker = new Worker(name, run, { connection, concurrency });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  let completed = 0;
  const ended = new Promise((resolve, reject) => {
    worker.on('completed', () => ++completed === total && resolve());
    worker.on('failed', (_, error) => reject(error));
  });
  const begin = performance.now();
  await queue.addBulk(Array.from({ length: total }, (_, index) => ({ name: 't', data: { index } })));
  await ended;
  const rate = (total / (performance.now() - begin)) * 1000;
  await worker.close();
  await queue.close();
  return rate;
};
await once(50, 8);
const rates = [];
for (const concurrency of concurrencies) rates.push(await once(Number(count), Number(concurrency)));
console.log(JSON.stringify(rates));
process.exit();
`;

/** Jobs of /bin/true through BullMQ. */
export interface Bullmq {
  /** Queues and runs so many; the better rate of its settings, a second. */
  rate(count: number): Promise<number>;
  stop(): Promise<void>;
}

/**
 * A redis-server of its own that keeps nothing on disk, reached over a socket in `folder`. `modules` is a folder into
 * which `npm install --prefix` has put bullmq and ioredis. A text says what is missing.
 */
export async function startBullmq(folder: string, modules: string | undefined): Promise<Bullmq | string> {
  if (modules === undefined) return 'no --bullmq DIR';
  if (!existsSync(join(modules, 'node_modules/bullmq'))) return `no bullmq in ${modules}`;
  if (spawnSync('redis-server', ['--version']).error !== undefined) return 'no redis-server';
  const home = join(folder, 'bullmq');
  mkdirSync(home);
  const [program, socket] = [join(home, 'peer.mjs'), join(home, 'redis.sock')];
  writeFileSync(program, PROGRAM);
  const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', home];
  const redis = spawn('redis-server', settings, { stdio: 'ignore' });
  const end = (): boolean => redis.kill('SIGKILL');
  process.once('exit', end);
  while (!existsSync(socket)) {
    if (redis.exitCode !== null) throw new Error(`redis-server ended: ${redis.exitCode}`);
    await pause(20);
  }
  return {
    rate: async (count) => {
      const argv = [program, `${modules}/`, socket, String(count), ...AT_ONCE.map(String)];
      const { stdout } = await promisify(execFile)(process.execPath, argv);
      return Math.max(...(JSON.parse(stdout) as number[]));
    },
    stop: async () => {
      process.off('exit', end);
      const ended = new Promise((resolve) => redis.once('exit', resolve));
      end();
      await ended;
    },
  };
}
