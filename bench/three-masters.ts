import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MESQ } from './real-cluster.ts';

export const MASTERS = 3;

/** How late a master's event loop was. */
export interface LoopDelay {
  readonly mostMs: number;
  readonly p99Ms: number;
}

export interface MastersOptions {
  /** Default `mqtt`. */
  readonly scheme?: 'mqtt' | 'mqtts';
  /** More arguments of `mesq master`, the same for all. */
  readonly more?: readonly string[];
}

/** Three masters, each a process that can be killed and started again. */
export class Masters {
  readonly #folder: string;
  readonly #options: MastersOptions;
  readonly #urls = new Map<string, string>();
  readonly #running = new Map<string, ChildProcess>();

  constructor(folder: string, options: MastersOptions = {}) {
    this.#folder = folder;
    this.#options = options;
    process.once('exit', () => {
      for (const child of this.#running.values()) child.kill('SIGKILL');
    });
  }

  get url(): string {
    return [...this.#urls.values()].join(',');
  }

  urlOf(id: string): string {
    const url = this.#urls.get(id);
    if (url === undefined) throw new Error(`there is no ${id}`);
    return url;
  }

  get pids(): number[] {
    return [...this.#running.values()].flatMap(({ pid }) => pid ?? []);
  }

  /** Bytes in the log of each: segments are filled with zeros ahead. */
  logBytes(): number[] {
    return [...this.#urls.keys()].map((id) => {
      const log = join(this.#folder, id, 'log');
      return readdirSync(log)
        .filter((name) => name.endsWith('.segment'))
        .reduce((sum, name) => sum + readFileSync(join(log, name)).findLastIndex((byte) => byte !== 0) + 1, 0);
    });
  }

  async start(): Promise<void> {
    const { scheme = 'mqtt' } = this.#options;
    const host = scheme === 'mqtt' ? '127.0.0.1' : 'localhost';
    for (let at = 1; at <= MASTERS; at++) this.#urls.set(`m${at}`, `${scheme}://${host}:${await freePort()}`);
    for (const id of this.#urls.keys()) this.startOne(id);
    for (const url of this.#urls.values()) await listens(Number(new URL(url).port));
  }

  startOne(id: string): void {
    const peers = [...this.#urls]
      .filter(([peer]) => peer !== id)
      .flatMap(([peer, url]) => ['--peer', `${peer}=${url}`]);
    const log = openSync(join(this.#folder, `${id}.log`), 'a');
    const argv = ['master', '--id', id, '--data', join(this.#folder, id), '--listen', this.urlOf(id)];
    const watched = fileURLToPath(new URL('./loop-delay.js', import.meta.url));
    const child = spawn(
      process.execPath,
      ['--import', watched, MESQ, ...argv, ...peers, ...(this.#options.more ?? [])],
      {
        stdio: ['ignore', 'ignore', log, 'ipc'],
        env: { ...process.env, XDG_STATE_HOME: this.#folder },
      },
    );
    closeSync(log);
    this.#running.set(id, child);
    // Killed ones have no code.
    child.once('exit', (code) => {
      if (code !== null)
        throw new Error(`${id} ended: ${readFileSync(join(this.#folder, `${id}.log`), 'utf8').slice(-2_000)}`);
    });
  }

  /** How late the event loops were since they were asked last, or since the start; the worst of all that run. */
  async loopDelay(): Promise<LoopDelay> {
    const running = [...this.#running.values()];
    const delays = await Promise.all(
      running.map(async (child) => {
        child.send({});
        const [delay] = (await once(child, 'message')) as [LoopDelay];
        return delay;
      }),
    );
    return {
      mostMs: Math.max(...delays.map(({ mostMs }) => mostMs)),
      p99Ms: Math.max(...delays.map(({ p99Ms }) => p99Ms)),
    };
  }

  async kill(id: string): Promise<void> {
    const child = this.#running.get(id);
    if (child === undefined) throw new Error(`${id} does not run`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    this.#running.delete(id);
  }

  async stop(): Promise<void> {
    for (const id of [...this.#running.keys()]) await this.kill(id);
  }
}

/** Waits until somebody listens there. */
async function listens(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const stands = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (stands) return;
    await pause(50);
  }
}

/** A port of this machine that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('there is no port');
  return address.port;
}
