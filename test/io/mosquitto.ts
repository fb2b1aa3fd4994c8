import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quietPort } from '../quiet-port.ts';

const { PATH, CI } = process.env;
/** Debian keeps daemons where only root looks. */
const ENVIRONMENT = { ...process.env, PATH: `${PATH}:/usr/sbin` };

export interface Mosquitto {
  readonly port: number;
  stop(): Promise<void>;
}

/** Whether to test with Mosquitto: where it is installed, and with CI=true anyway, to fail where it is not. */
export function wantsMosquitto(): boolean {
  return CI === 'true' || spawnSync('mosquitto', ['-h'], { env: ENVIRONMENT }).error === undefined;
}

/** Starts a broker on a free port of loopback, in a folder of its own. */
export async function startMosquitto(): Promise<Mosquitto> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-mosquitto-'));
  const port = await quietPort();
  const config = join(folder, 'mosquitto.conf');
  await writeFile(
    config,
    `listener ${port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
`,
  );
  const broker = spawn('mosquitto', ['-c', config], { env: ENVIRONMENT, stdio: 'ignore' });
  await once(broker, 'spawn');
  const exited = once(broker, 'exit');
  await Promise.race([
    listening(port),
    exited.then(([code]) => {
      throw new Error(`mosquitto ended with ${code}`);
    }),
  ]);
  return {
    port,
    stop: async () => {
      broker.kill();
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const opened = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (opened) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
