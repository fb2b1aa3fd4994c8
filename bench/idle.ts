import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openCountingProxy } from './counting-proxy.ts';
import { type DiskWrites, watchDiskWrites } from './disk-writes.ts';
import { startPeer } from './mqtt-peer.ts';
import { ownPss, pssOf, withDescendants } from './process-memory.ts';
import { benchFolder, endLauncher, launcherPid, startAgentPart, startMasterPart } from './real-cluster.ts';
import type { Measured } from './report.ts';

const MEMORY = 1.3;
const WIRE_KB = 50;
/** A TCP segment's headers over IPv4 with timestamps, and an acknowledgement back. */
const HEADERS = 2 * 52;
/** Registration, first reports and what they leave to be collected. */
const SETTLE_MS = 10_000;

/**
 * An agent and a master that have nothing to do, for `minutes`: memory beside a bundled MQTT client, bytes on the wire
 * (through a proxy that counts), bytes written to files. Extrapolated to what the targets are given in.
 */
export async function measureIdle(parent: string, minutes: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const proxy = await openCountingProxy();
  const master = await startMasterPart(folder.path, { advertise: `mqtt://127.0.0.1:${proxy.port}` });
  const { hostname, port } = new URL(master.url);
  proxy.target = { host: hostname, port: Number(port) };
  const agent = await startAgentPart(folder.path, 'a1', `mqtt://127.0.0.1:${proxy.port}`, 'cpus:4;mem:4096');
  const peer = await startPeer(folder.path, master.url);
  const agentRoots = [agent.pid, launcherPid(agent)].filter((pid) => pid !== undefined);
  await pause(SETTLE_MS);

  const writesOfAgent = await watchDiskWrites([...withDescendants(agentRoots)], join(folder.path, 'agent.strace'));
  const writesOfMaster = await watchDiskWrites([master.pid], join(folder.path, 'master.strace'));
  const before = proxy.traffic();
  await pause(minutes * 60_000);
  const after = proxy.traffic();
  const disk = { agent: await writesOfAgent(), master: await writesOfMaster() };
  const memory = { agent: pssOf(agentRoots), node: ownPss(agent.pid), peer: pssOf([peer.pid ?? 0]) };

  peer.kill('SIGKILL');
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  proxy.close();
  folder.remove();

  const perHour = 60 / minutes / 1_000;
  const wire = (after.bytes - before.bytes) * perHour;
  const headers = (after.pieces - before.pieces) * HEADERS * perHour;
  const ratio = memory.agent / memory.peer;
  return [
    {
      what: `memory of an idle agent after ${minutes} min: PSS of all its processes`,
      value: `${mb(memory.agent)} (ratio ${ratio.toFixed(2)})`,
      beside: `MQTT client ${mb(memory.peer)}; the agent's Node alone ${mb(memory.node)}`,
      target: `≤ ${MEMORY}×`,
      met: ratio <= MEMORY,
    },
    {
      what: `bytes on the wire of an idle agent an hour, from ${minutes} min: TCP payload, both ways`,
      value: `${wire.toFixed(1)} kB`,
      beside: `with headers of TCP and IP about ${(wire + headers).toFixed(1)} kB`,
      target: `≤ ${WIRE_KB} kB`,
      met: wire + headers <= WIRE_KB,
    },
    writesRow(`bytes written to disk by an idle agent in ${minutes} min`, disk.agent),
    writesRow(`bytes written to disk by an idle master in ${minutes} min`, disk.master),
  ];
}

function writesRow(what: string, { bytes, calls, how }: DiskWrites): Measured {
  return {
    what,
    value: `${bytes} B`,
    beside: how === 'strace' ? `syncs and changes of folders: ${calls}` : 'as the block layer counts (no strace here)',
    target: '0',
    met: bytes === 0 && calls === 0,
  };
}

function mb(kilobytes: number): string {
  return `${(kilobytes / 1_024).toFixed(1)} MB`;
}
