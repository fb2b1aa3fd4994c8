import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectClient } from '../tools/cluster.ts';
import { leaderOf } from './agents-at-work.ts';
import { type DiskWrites, watchDiskWrites } from './disk-writes.ts';
import { withDescendants } from './process-memory.ts';
import { benchFolder, endLauncher, launcherPid, type Part, startAgentPart } from './real-cluster.ts';
import type { Measured } from './report.ts';
import { Masters } from './three-masters.ts';

const AGENTS = 3;
/** Registration, first reports and what they leave to be collected. */
const SETTLE_MS = 10_000;

/** Three masters and three agents that have nothing to do, for `minutes`: what they write to files. */
export async function measureIdleCluster(parent: string, minutes: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const masters = new Masters(folder.path);
  await masters.start();
  const { client, close } = await connectClient(masters.url, 'bench');
  await leaderOf(client);
  await close();
  const agents: Part[] = [];
  for (let at = 1; at <= AGENTS; at++)
    agents.push(await startAgentPart(folder.path, `a${at}`, masters.url, 'cpus:1;mem:1024'));
  await pause(SETTLE_MS);
  const parts = agents.flatMap((agent) => [agent.pid, launcherPid(agent) ?? agent.pid]);
  const ofMasters = await watchDiskWrites(masters.pids, join(folder.path, 'masters.strace'));
  const ofAgents = await watchDiskWrites([...withDescendants(parts)], join(folder.path, 'agents.strace'));
  await pause(minutes * 60_000);
  const writes = { masters: await ofMasters(), agents: await ofAgents() };
  for (const agent of agents) {
    await agent.stop();
    await endLauncher(agent);
  }
  await masters.stop();
  folder.remove();
  return [
    row(`bytes written by three idle masters in ${minutes} min`, writes.masters),
    row(`bytes written by their ${AGENTS} idle agents`, writes.agents),
  ];
}

function row(what: string, { bytes, calls, how }: DiskWrites): Measured {
  return {
    what,
    value: `${bytes} B`,
    beside: how === 'strace' ? `syncs and changes of folders: ${calls}` : 'as the block layer counts (no strace here)',
    target: '0',
    met: bytes === 0 && calls === 0,
  };
}
