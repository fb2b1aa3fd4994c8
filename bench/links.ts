import { setTimeout as pause } from 'node:timers/promises';
import { TIMES } from '../protocol/limits.ts';
import { connectClient } from '../tools/cluster.ts';
import { epochsOf, fill, leaderOf } from './agents-at-work.ts';
import { type DroppingLink, openDroppingLink } from './dropping-link.ts';
import { MemoryAgents } from './memory-agents.ts';
import { benchFolder } from './real-cluster.ts';
import type { Measured } from './report.ts';
import { Masters } from './three-masters.ts';

const AGENTS = 100;
const DOWN_MS = { least: 2_000, most: 30_000 } as const;
/** At least as long as an agent may wait before it tries again. */
const UP_MS = { least: TIMES.reconnectMs, most: 30_000 } as const;
/** For this long nothing is written any more of what was to be said about new tasks. */
const SETTLE_MS = 10_000;

/**
 * A hundred agents, each with a task, whose links to the leader fail for 2 to 30 s, again and again for `minutes`, some
 * cut, some silent: whether any was declared unreachable, a task started again, a byte written to a master's log.
 */
export async function measureLinks(parent: string, minutes: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const masters = new Masters(folder.path);
  await masters.start();
  const { client, close } = await connectClient(masters.url, 'bench');
  const { id } = await leaderOf(client);
  const { hostname: host, port } = new URL(masters.urlOf(id));
  const links = await Promise.all(Array.from({ length: AGENTS }, () => openDroppingLink({ host, port: Number(port) })));
  const agents = new MemoryAgents();
  await agents.start(links.map(({ url }, at) => ({ name: `s${at}`, way: { urls: [url] } })));
  await agents.sessions(0, 0);
  await fill(client, AGENTS);
  await agents.sessions(0, 1);
  await settled(masters);
  const before = await agents.sessions(0, 1);
  const { id: leads, term } = await leaderOf(client);
  if (leads !== id) throw new Error('another master leads than the links go to: nothing would be measured');
  const epochs = await epochsOf(client, AGENTS);
  const bytes = masters.logBytes();

  const until = performance.now() + minutes * 60_000;
  const drops = await Promise.all(links.map((link) => flap(link, until)));
  const restored = Date.now();
  await epochsOf(client, AGENTS);
  const after = await agents.sessions(0, 1);
  const changed = [...(await epochsOf(client, AGENTS))].filter(([name, epoch]) => epochs.get(name) !== epoch).length;
  const backMs = Date.now() - restored;
  const written = masters.logBytes().map((now, at) => now - (bytes[at] ?? 0));
  const elections = (await leaderOf(client)).term - term;

  await close();
  await agents.stop();
  for (const link of links) link.close();
  await masters.stop();
  folder.remove();
  const dropped = drops.reduce((sum, count) => sum + count, 0);
  const felt = after.failures - before.failures;
  const restarted = after.starts - before.starts;
  return [
    {
      what: `${AGENTS} agents, ${minutes} min: declared unreachable, tasks started again, bytes in the logs`,
      value: `${changed}, ${restarted}, ${written.join(' + ')} B`,
      beside: `${dropped} failures of links of 2 to 30 s, half of them silent, ${felt} connections failed or ended; ${elections} elections; all back ${(backMs / 1_000).toFixed(1)} s after the last`,
      target: '0, 0, 0',
      met: changed === 0 && restarted === 0 && felt >= dropped / 2 && written.every((more) => more === 0),
    },
  ];
}

async function settled(masters: Masters): Promise<void> {
  for (let before = ''; ; ) {
    const now = masters.logBytes().join();
    if (now === before) return;
    before = now;
    await pause(SETTLE_MS);
  }
}

/** Resolves with how often the link has failed. */
async function flap(link: DroppingLink, until: number): Promise<number> {
  const within = ({ least, most }: { least: number; most: number }): number => least + Math.random() * (most - least);
  for (let drops = 0; ; drops++) {
    await pause(within(UP_MS));
    const downMs = within(DOWN_MS);
    if (performance.now() + downMs > until) return drops;
    link.drop(drops % 2 === 0 ? 'cut' : 'stall');
    await pause(downMs);
    link.restore();
  }
}
