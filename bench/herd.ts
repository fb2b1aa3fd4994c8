import { connectClient } from '../tools/cluster.ts';
import { epochsOf, fill, leaderOf } from './agents-at-work.ts';
import { Authority } from './certificates.ts';
import { MemoryAgents } from './memory-agents.ts';
import { processorMs } from './process-memory.ts';
import { benchFolder } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';
import { MASTERS, Masters, type MastersOptions } from './three-masters.ts';

/** Of 1,000 agents, from the kill to the last session. */
const TARGET_MS = { plain: 5_000, 'TLS with client certificates': 15_000 } as const;

type Carrier = keyof typeof TARGET_MS;

/**
 * The leader of three masters is killed with -9 while `counts` agents, each with a task, are connected to it: how long
 * until they have a session with the next, whether one was declared unreachable or a task started again, and whether
 * the masters kept time meanwhile.
 */
export async function measureHerd(
  parent: string,
  counts: readonly number[],
  secureCounts: readonly number[],
): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const count of counts) rows.push(...(await herd(parent, count, 'plain')));
  for (const count of secureCounts) rows.push(...(await herd(parent, count, 'TLS with client certificates')));
  return rows;
}

async function herd(parent: string, count: number, carrier: Carrier): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const authority = carrier === 'plain' ? undefined : new Authority(folder.path);
  const masters = new Masters(folder.path, authority === undefined ? {} : secured(authority));
  await masters.start();
  const { client, close } = await connectClient(masters.url, 'bench', { ca: authority?.pem });
  await leaderOf(client);
  const urls = masters.url.split(',');
  const agents = new MemoryAgents();
  await agents.start(
    Array.from({ length: count }, (_, at) => {
      const name = `s${at}`;
      return { name, way: { urls, ...(authority && { ca: authority.pem, ...authority.client(name) }) } };
    }),
  );
  await agents.sessions(0, 0);
  await fill(client, count);
  const before = await agents.sessions(0, 1);
  const epochs = await epochsOf(client, count);
  const { id, term } = await leaderOf(client);
  await masters.loopDelay();

  const killed = Date.now();
  await masters.kill(id);
  const busy = (): number => masters.pids.reduce((sum, pid) => sum + processorMs(pid), 0);
  const busyBefore = busy();
  const after = await agents.sessions(killed, 1);
  const processor = (busy() - busyBefore) / count;
  const delay = await masters.loopDelay();
  const next = await leaderOf(client, MASTERS - 1);
  const changed = [...(await epochsOf(client, count))].filter(([name, epoch]) => epochs.get(name) !== epoch).length;

  await close();
  await agents.stop();
  await masters.stop();
  folder.remove();
  const took = after.establishedMs.map((ms) => ms - killed);
  const [first, p50, p90, most] = [0, 0.5, 0.9, 1].map((part) => `${(quantile(took, part) / 1_000).toFixed(2)}`);
  const restarted = after.starts - before.starts;
  return [
    {
      what: `${count} agents, ${carrier}: until they are registered with the next leader`,
      value: `first ${first} s, p50 ${p50}, p90 ${p90}, all ${most}`,
      beside: `${after.failures - before.failures} connections failed or ended; processor time of the masters ${processor.toFixed(2)} ms an agent`,
      target: count === 1_000 ? `all within ${TARGET_MS[carrier] / 1_000} s` : undefined,
      met: count === 1_000 ? Math.max(...took) <= TARGET_MS[carrier] : undefined,
    },
    {
      what: `${count} agents: declared unreachable, tasks started again, elections`,
      value: `${changed}, ${restarted}, ${next.term - term}`,
      beside: `the masters' loops were late by at most ${delay.mostMs.toFixed(0)} ms, p99 ${delay.p99Ms.toFixed(0)}`,
      target: '0, 0, 1',
      met: changed === 0 && restarted === 0 && next.term - term === 1,
    },
  ];
}

function secured(authority: Authority): MastersOptions {
  const { certificate, key } = authority.server();
  const shown = ['--tls-cert', certificate, '--tls-key', key];
  return { scheme: 'mqtts', more: [...shown, '--tls-ca', authority.file, '--client-ca', authority.file] };
}
