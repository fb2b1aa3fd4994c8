import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { MESQ } from './real-cluster.ts';

export const MASTERS = 3;

/** Three masters, each a process that can be killed and started again. */
export class Masters {
  readonly #folder: string;
  readonly #urls = new Map<string, string>();
  readonly #running = new Map<string, ChildProcess>();

  constructor(folder: string) {
    this.#folder = folder;
    process.once('exit', () => {
      for (const child of this.#running.values()) child.kill('SIGKILL');
    });
  }

  get url(): string {
    return [...this.#urls.values()].join(',');
  }

  async start(): Promise<void> {
    for (let at = 1; at <= MASTERS; at++) this.#urls.set(`m${at}`, `mqtt://127.0.0.1:${await freePort()}`);
    for (const id of this.#urls.keys()) this.startOne(id);
  }

  startOne(id: string): void {
    const peers = [...this.#urls]
      .filter(([peer]) => peer !== id)
      .flatMap(([peer, url]) => ['--peer', `${peer}=${url}`]);
    const log = openSync(join(this.#folder, `${id}.log`), 'a');
    const argv = ['master', '--id', id, '--data', join(this.#folder, id), '--listen', this.#urls.get(id) ?? ''];
    const child = spawn(process.execPath, [MESQ, ...argv, ...peers], {
      stdio: ['ignore', 'ignore', log],
      env: { ...process.env, XDG_STATE_HOME: this.#folder },
    });
    closeSync(log);
    this.#running.set(id, child);
  }

  async kill(id: string): Promise<void> {
    const child = this.#running.get(id);
    if (child === undefined) throw new Error(`${id} does not run`);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async stop(): Promise<void> {
    for (const id of this.#urls.keys()) await this.kill(id);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('there is no port');
  return address.port;
}
