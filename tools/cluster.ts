import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../io/node/clock.ts';
import { createLog } from '../io/node/log.ts';
import { connectMqttBus, type MqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { type Client, createClient } from '../sdk/index.ts';

/** `mesq up` as a child process on free ports, in a temporary data folder. */
export interface Cluster {
  readonly url: string;
  /** What `mesq up` printed until it was ready. */
  readonly said: string;
  readonly process: ChildProcess;
  /** Stops it as Ctrl-C does, and removes its data. */
  stop(): Promise<void>;
}

/** Starts a cluster; rejects where it ends before it is ready. */
export async function startCluster(mesq: string, options: readonly string[] = []): Promise<Cluster> {
  const data = mkdtempSync(join(tmpdir(), 'mesq-'));
  const process = spawn(
    globalThis.process.execPath,
    [mesq, 'up', '--data', data, '--port', '0', '--http', '0', ...options],
    // What a person's own `mesq up` wrote of the current cluster stays as it is.
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...globalThis.process.env, XDG_CONFIG_HOME: join(data, 'config') } },
  );
  const ended = new Promise<void>((resolve) => process.once('exit', () => resolve()));
  let said = '';
  let complaint = '';
  process.stderr.on('data', (bytes: Buffer) => {
    complaint += bytes.toString();
  });
  const url = await new Promise<string>((resolve, reject) => {
    process.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString();
      const found = /broker (mqtt:\/\/\S+)/.exec(said)?.[1];
      if (found !== undefined && said.endsWith('\n')) resolve(found);
    });
    void ended.then(() => reject(new Error(`mesq up ended: ${said}${complaint}`)));
  });
  return {
    url,
    said,
    process,
    stop: async () => {
      process.kill('SIGINT');
      await ended;
      rmSync(data, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export interface ClientWays {
  /** It follows the leader to the hosts of these URLs only. Default: those it is given. */
  readonly follow?: readonly string[];
  /** PEM of the authorities to trust, for `mqtts:`. */
  readonly ca?: string | undefined;
}

/**
 * A client of the operator API, connected; `url` may be several with commas between them. It follows the leader to the
 * hosts of `follow`.
 */
export async function connectClient(
  url: string,
  name = 'quickstart',
  { follow = url.split(','), ca }: ClientWays = {},
): Promise<{ client: Client; bus: MqttBus; close(): Promise<void> }> {
  const session = randomWord(systemRandom, 8);
  const bus = connectMqttBus({
    urls: url.split(','),
    clientId: `${name}/${session}`,
    username: name,
    ...(ca === undefined ? {} : { ca }),
    clock: systemClock,
    random: systemRandom,
    log: createLog({ level: 'error' }),
  });
  await bus.ready(10_000);
  const client = createClient({ bus, urls: follow, name, session, clock: systemClock, random: systemRandom });
  return {
    client,
    bus,
    close: async () => {
      client.close();
      await bus.close();
    },
  };
}
