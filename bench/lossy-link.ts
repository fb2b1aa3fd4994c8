import { join } from 'node:path';
import { Fault } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import {
  BAD_LINK,
  bootBoard,
  type GuestCable,
  type LinkQuality,
  layGuestCable,
  shellWord,
  slowBoardMissing,
} from '../tools/slow-board.ts';
import { Authority } from './certificates.ts';
import { benchFolder, MESQ, start } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';
import { killsDuringDownload, SUBMISSIONS, submissions } from './tasks-over-a-link.ts';

/** Each of them fetches for seconds. */
const KILLS = 6;
const NO_LINK: LinkQuality = { oneWayMs: 0, lossPercent: 0, kbitPerSecond: 1_000_000 };
const ROUND_TRIP_MS = 2 * BAD_LINK.oneWayMs;
const MOST_MS = 1.5 * ROUND_TRIP_MS + 50;
const WORDS = `${ROUND_TRIP_MS} ms, ${BAD_LINK.lossPercent} % lost each way, ${BAD_LINK.kbitPerSecond} kbit/s, TLS`;

/**
 * An agent on a slow board, a guest with a kernel of its own whose network delays, thins and loses packets both ways:
 * from the client beside the master until it hears RUNNING, and until it hears the end of what it killed while the link
 * was full of a log. Beside the same board at a link that is none.
 */
export async function measureLossyLink(parent: string): Promise<Measured[]> {
  const missing = slowBoardMissing();
  if (missing !== undefined)
    return [{ what: WORDS, value: `not measured: ${missing}`, beside: '', target: undefined, met: undefined }];
  const cable = layGuestCable();
  try {
    const bad = await onBoard(parent, cable, BAD_LINK, KILLS);
    const near = await onBoard(parent, cable, NO_LINK, 0);
    if (Math.min(...bad.running) < ROUND_TRIP_MS) throw new Error('the board went past its link: nothing was measured');
    const [running, kills] = [quantile(bad.running, 0.5), quantile(bad.kills, 0.5)];
    const spread = (values: readonly number[]): string =>
      `p90 ${quantile(values, 0.9).toFixed(0)}, most ${Math.max(...values).toFixed(0)} ms`;
    return [
      {
        what: `${WORDS}: submit → RUNNING on a slow board, p50 of ${SUBMISSIONS}`,
        value: `${running.toFixed(0)} ms (${(running / ROUND_TRIP_MS).toFixed(2)} round trips)`,
        beside: `${spread(bad.running)}; the same board without the link p50 ${quantile(near.running, 0.5).toFixed(0)} ms`,
        target: `≤ ${MOST_MS} ms`,
        met: running <= MOST_MS,
      },
      {
        what: `${WORDS}: KILL while the link is full of a log → the client hears the end, p50 of ${KILLS}`,
        value: `${kills.toFixed(0)} ms (${(kills / ROUND_TRIP_MS).toFixed(2)} round trips)`,
        beside: spread(bad.kills),
        target: `≤ ${2 * ROUND_TRIP_MS} ms`,
        met: kills <= 2 * ROUND_TRIP_MS,
      },
    ];
  } finally {
    cable.remove();
  }
}

async function onBoard(parent: string, cable: GuestCable, link: LinkQuality, kills: number) {
  const folder = benchFolder(parent);
  const authority = new Authority(folder.path);
  const shown = authority.server([cable.address]);
  const data = join(folder.path, 'm1');
  const listen = ['--listen', 'mqtt://127.0.0.1:0', '--listen', `mqtts://${cable.address}:0`];
  const tls = ['--tls-cert', shown.certificate, '--tls-key', shown.key];
  const master = start([MESQ, 'master', '--id', 'm1', '--data', data, ...listen, ...tls], data);
  const [, plain = ''] = await master.heard('stdout', /(mqtt:\/\/\S+)/);
  const [, secure = ''] = await master.heard('stdout', /(mqtts:\/\/\S+)/);
  const { client, close } = await connectClient(plain, 'bench');
  const made = await client.request('token-create', { role: 'agent', name: 'board' });
  if (made instanceof Fault) throw made;
  const agent = [process.execPath, MESQ, 'agent', '--name', 'board', '--data', '/run/agent', '--containers', 'none'];
  const where = ['--master', secure, '--ca', authority.file, '--resources', 'cpus:4;mem:4096'];
  const board = bootBoard({
    cable,
    link,
    run: `MESQ_TOKEN=${shellWord(made.token)} ${[...agent, ...where].map(shellWord).join(' ')}`,
  });
  try {
    await board.heard(/registered/);
    return { running: await submissions(client), kills: await killsDuringDownload(client, kills) };
  } finally {
    await board.end();
    await close();
    await master.part.stop();
    folder.remove();
  }
}
