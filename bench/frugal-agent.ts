import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectClient } from '../tools/cluster.ts';
import { type DiskWrites, watchDiskWrites } from './disk-writes.ts';
import { openDroppingLink } from './dropping-link.ts';
import { jobEnded, submitJob } from './jobs.ts';
import { startPeer } from './mqtt-peer.ts';
import { processorMs, pssOf, withDescendants } from './process-memory.ts';
import { benchFolder, endLauncher, launcherPid, MESQ, start, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const MEMORY = 1.2;
const MEMORY_MB = 70;
const PROCESSOR_PERCENT = 0.3;
const TASK_KB = 16;
const SAMPLE_MS = 5_000;
const FLAPS = 5;
const TASKS = 10;
const SETTLE_MS = 3_000;

/**
 * What an idle agent holds and uses, watched for `minutes` after half as many: memory of it and all it has started,
 * processor time, bytes written; then what a broken link and a task have it write.
 *
 * The agent and the MQTT client beside it run from a copy of node each, as on a board where nothing else runs node: else
 * the pages of its program would be shared out among all processes of the bench, and the ratio would say how many.
 */
export async function measureFrugalAgent(parent: string, minutes: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const { hostname, port } = new URL(master.url);
  const link = await openDroppingLink({ host: hostname, port: Number(port) });
  const node = (name: string): string => {
    const copy = join(folder.path, `node-${name}`);
    copyFileSync(process.execPath, copy);
    return copy;
  };
  const data = join(folder.path, 'a1');
  const log = join(folder.path, 'agent.log');
  const argv = ['agent', '--name', 'a1', '--data', data, '--master', link.url, '--log-file', log];
  const { part: agent } = start([MESQ, ...argv, '--resources', 'cpus:4;mem:4096'], data, [], node('agent'));
  const peer = await startPeer(folder.path, master.url, node('peer'));
  const { client, close } = await connectClient(master.url, 'bench');
  while ((await agentsOf(client)) === 0) await pause(100);
  const roots = [agent.pid, launcherPid(agent)].filter((pid) => pid !== undefined);
  await pause((minutes * 60_000) / 2);

  const writes = async (name: string, act: () => Promise<unknown>): Promise<DiskWrites> => {
    const trace = join(folder.path, `${name}.strace`);
    const written = await watchDiskWrites([...withDescendants(roots)], trace);
    await act();
    await pause(SETTLE_MS);
    return written();
  };
  const memory: { agent: number; peer: number }[] = [];
  const watched = [...withDescendants(roots)];
  const processor = (): number => watched.reduce((sum, pid) => sum + processorMs(pid), 0);
  const [beforeMs, beforeAt] = [processor(), performance.now()];
  for (let left = minutes * 60_000; left > 0; left -= SAMPLE_MS) {
    await pause(SAMPLE_MS);
    memory.push({ agent: pssOf(roots), peer: pssOf([peer.pid ?? 0]) });
  }
  const busy = (100 * (processor() - beforeMs)) / (performance.now() - beforeAt);
  const idle = await writes('idle', () => pause(20_000));
  const flaps = await writes('flaps', async () => {
    for (let at = 0; at < FLAPS; at++) {
      link.drop('cut');
      link.restore();
      await pause(SETTLE_MS);
    }
  });
  const run = async (): Promise<void> => jobEnded(client, await submitJob(client, { argv: ['true'] }));
  await run();
  const tasks = await writes('tasks', async () => {
    for (let at = 0; at < TASKS; at++) await run();
  });
  const mid = {
    agent:
      quantile(
        memory.map((one) => one.agent),
        0.5,
      ) / 1_024,
    peer:
      quantile(
        memory.map((one) => one.peer),
        0.5,
      ) / 1_024,
  };
  peer.kill('SIGKILL');
  await close();
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  link.close();
  folder.remove();
  const ratio = mid.agent / mid.peer;
  const target = `≤ ${MEMORY}× and < ${MEMORY_MB} MB`;
  return [
    {
      what: `idle agent and all it started: median PSS over ${minutes} min`,
      value: `${mid.agent.toFixed(1)} MB (ratio ${ratio.toFixed(2)})`,
      beside: `MQTT client ${mid.peer.toFixed(1)} MB; each from its own copy of node`,
      target,
      met: ratio <= MEMORY && mid.agent < MEMORY_MB,
    },
    {
      what: `processor of an idle agent over ${minutes} min`,
      value: `${busy.toFixed(2)} % of a core`,
      beside: 'looks at the machine every 30 s and every 5 min',
      target: `≤ ${PROCESSOR_PERCENT} %`,
      met: busy <= PROCESSOR_PERCENT,
    },
    written('written while idle, 20 s', idle, 1, 0),
    written(`written for each of ${FLAPS} broken links`, flaps, FLAPS, 0),
    written(`written for each of ${TASKS} tasks of \`true\``, tasks, TASKS, TASK_KB * 1_024),
  ];
}

function written(what: string, { bytes, calls, how }: DiskWrites, times: number, most: number): Measured {
  const each = bytes / times;
  return {
    what,
    value: `${each.toFixed(0)} B`,
    beside: how === 'strace' ? `write calls to files; ${(calls / times).toFixed(0)} syncs and changes of folders` : how,
    target: most === 0 ? '0' : `≤ ${most / 1_024} kB`,
    met: each <= most && (most > 0 || calls === 0),
  };
}

async function agentsOf(client: Awaited<ReturnType<typeof connectClient>>['client']): Promise<number> {
  const answer = await client.request('agents', {});
  return 'agents' in answer ? answer.agents.length : 0;
}
