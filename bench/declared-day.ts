import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { keepAliveBytes } from '../agent/accounts/wire.ts';
import { TIMES } from '../protocol/limits.ts';
import { Fault } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { Authority } from './certificates.ts';
import { openDroppingLink } from './dropping-link.ts';
import { jobEnded, submitJob } from './jobs.ts';
import { benchFolder, endLauncher, MESQ, type Part, start } from './real-cluster.ts';
import type { Measured } from './report.ts';
import { type Crossed, layVethLink, type VethLink } from './veth-link.ts';

/** The day that is declared (docs/frugality.md). */
const RECONNECTS = 24;
const TASKS = 10;
const LOG_BYTES = 65_536;
const DAYS = 30;
const DAY_MS = 86_400_000;
const TARGET_MB = { default: 10, metered: 2 } as const;
/** How many of each are measured. */
const CUTS = 6;
/** What a connection still says after it stands, and what a task's end still brings. */
const SETTLE_MS = 3_000;
const SAMPLE_MS = 200;
const SILENCE_MS = 1_000;
/** PINGREQ, PINGRESP and the acknowledgement of that. */
const KEEP_ALIVE_PACKETS = 3;

type Kind = keyof typeof TARGET_MB;
type Client = Awaited<ReturnType<typeof connectClient>>['client'];

/**
 * What an agent's link carries in a day of 24 reconnects, ten tasks and one read of 64 kB, over TLS, as the kernel
 * counts IP packets at the end of a cable of its own. The agent idles for `minutes`; the rest of the day is its
 * keep-alives.
 */
export async function measureDeclaredDay(parent: string, minutes: number): Promise<Measured[]> {
  const kinds: readonly Kind[] = ['default', 'metered'];
  const cables = kinds.map((_, at) => layVethLink(at + 1));
  const [first, second] = cables;
  if (first === undefined || second === undefined) {
    for (const cable of cables) cable?.remove();
    const why = 'not measured: needs root and ip(8), for a network of the agent’s own';
    return [{ what: 'traffic of the declared day', value: why, beside: '', target: undefined, met: undefined }];
  }
  const folder = benchFolder(parent);
  const authority = new Authority(folder.path);
  const shown = authority.server([first.address, second.address]);
  const argv = ['master', '--id', 'm1', '--data', join(folder.path, 'm1')];
  const listen = ['--listen', 'mqtt://127.0.0.1:0', '--listen', 'mqtts://127.0.0.1:0'];
  const tls = ['--tls-cert', shown.certificate, '--tls-key', shown.key];
  const master = start([MESQ, ...argv, ...listen, ...tls], join(folder.path, 'm1'));
  const [, plain = ''] = await master.heard('stdout', /(mqtt:\/\/\S+)/);
  const [, secure = ''] = await master.heard('stdout', /(mqtts:\/\/\S+)/);
  const { client, close } = await connectClient(plain, 'bench');
  try {
    const site = { client, folder: folder.path, authority: authority.file, port: Number(new URL(secure).port) };
    return await Promise.all([day('default', first, site, minutes), day('metered', second, site, minutes)]).then(
      (rows) => rows.flat(),
    );
  } finally {
    await close();
    await master.part.stop();
    for (const cable of cables) cable?.remove();
    folder.remove();
  }
}

interface Site {
  readonly client: Client;
  readonly folder: string;
  readonly authority: string;
  readonly port: number;
}

async function day(kind: Kind, cable: VethLink, site: Site, minutes: number): Promise<Measured[]> {
  const { client } = site;
  const link = await openDroppingLink({ host: '127.0.0.1', port: site.port }, cable.address);
  const { agent, heard } = await startSecured(kind, cable, site, link.port);
  const connected = async (times: number) => heard('stderr', new RegExp(`(?:bus_connected[^]*?){${times}}`));
  await connected(1);
  await pause(SETTLE_MS);
  const during = async (act: () => Promise<unknown>): Promise<Crossed> => {
    const before = cable.crossed();
    await act();
    await pause(SETTLE_MS);
    const { packets, bytes } = cable.crossed();
    return { packets: packets - before.packets, bytes: bytes - before.bytes };
  };
  const reconnects = await during(async () => {
    for (let at = 0; at < CUTS; at++) {
      link.drop('cut');
      link.restore();
      await connected(at + 2);
      await pause(SETTLE_MS);
    }
  });
  const run = async (argv: string[]): Promise<string> => {
    const job = await submitJob(client, { argv, on: kind });
    await jobEnded(client, job);
    return job;
  };
  const tasks = await during(async () => {
    for (let at = 0; at < TASKS; at++) await run(['true']);
  });
  const job = await run(['sh', '-c', logOf(LOG_BYTES)]);
  await pause(SETTLE_MS);
  const log = await during(() => readAll(client, job));
  // What the link bears is remembered from one connection to the next.
  const keepAliveMs = kind === 'metered' ? TIMES.longestKeepAliveMeteredMs : TIMES.longestKeepAliveMs;
  const idle = await idleBursts(cable, minutes * 60_000);
  const keepAlives = idle.filter(({ packets }) => packets === KEEP_ALIVE_PACKETS);
  // Within a short window there may have been none by itself.
  const seen = keepAlives.length > 0;
  const keepAlive = seen ? bytesOf(keepAlives) / keepAlives.length : keepAliveBytes({ tls: true });
  const besides = bytesOf(idle.filter(({ packets }) => packets !== KEEP_ALIVE_PACKETS));
  await agent.stop();
  await endLauncher(agent);
  link.close();
  const parts = {
    idle: keepAlive * (DAY_MS / keepAliveMs),
    reconnects: (reconnects.bytes / CUTS) * RECONNECTS,
    tasks: tasks.bytes,
    log: log.bytes,
    // Said once a process, when it goes over to a longer keep-alive; counted once a day.
    besides,
  };
  const month = (DAYS * Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)) / 1_000_000;
  const each = [
    `keep-alive ${keepAlive.toFixed(0)} B (${seen ? `${keepAlives.length} seen` : 'reckoned: none was seen by itself'})`,
    `reconnect ${(reconnects.bytes / CUTS).toFixed(0)} B in ${(reconnects.packets / CUTS).toFixed(0)} packets`,
    `task ${(tasks.bytes / TASKS).toFixed(0)} B`,
    `read of 64 kB ${(log.bytes / 1_000).toFixed(1)} kB`,
  ].join(', ');
  const floor = (DAYS * LOG_BYTES) / 1_000_000;
  return [
    {
      what: `a month of declared days, ${kind}: IP bytes, both ways, TLS`,
      value: `${month.toFixed(2)} MB`,
      beside: `${each}; a day in kB: ${Object.entries(parts)
        .map(([name, bytes]) => `${name} ${(bytes / 1_000).toFixed(0)}`)
        .join(', ')}; the logs alone, as they are, ${floor.toFixed(2)} MB a month`,
      target: `≤ ${TARGET_MB[kind]} MB`,
      met: month <= TARGET_MB[kind],
    },
  ];
}

async function startSecured(kind: Kind, cable: VethLink, { client, folder, authority }: Site, port: number) {
  const made = await client.request('token-create', { role: 'agent', name: kind });
  if (made instanceof Fault) throw made;
  const data = join(folder, kind);
  const where = ['--master', `mqtts://${cable.address}:${port}`, '--ca', authority, '--token', made.token];
  const what = ['--resources', 'cpus:4;mem:4096', '--attributes', `kind:${kind}`, '--containers', 'none'];
  const metered = kind === 'metered' ? ['--metered'] : [];
  const argv = ['agent', '--name', kind, '--data', data, ...where, ...what, ...metered];
  const { part, heard } = start([MESQ, ...argv], data, cable.prefix);
  await heard('stderr', /registered/);
  return { agent: part satisfies Part, heard };
}

/** What crossed while nobody did anything, each burst by itself: between two there is at least a second of silence. */
async function idleBursts(cable: VethLink, forMs: number): Promise<Crossed[]> {
  const bursts: Crossed[] = [];
  let begin = cable.crossed();
  let last = begin;
  let quiet = 0;
  for (let ms = 0; ms < forMs; ms += SAMPLE_MS) {
    await pause(SAMPLE_MS);
    const now = cable.crossed();
    quiet = now.packets === last.packets ? quiet + SAMPLE_MS : 0;
    last = now;
    if (quiet < SILENCE_MS || now.packets === begin.packets) continue;
    bursts.push({ packets: now.packets - begin.packets, bytes: now.bytes - begin.bytes });
    begin = now;
  }
  const rest = { packets: last.packets - begin.packets, bytes: last.bytes - begin.bytes };
  return rest.packets === 0 ? bursts : [...bursts, rest];
}

function bytesOf(bursts: readonly Crossed[]): number {
  return bursts.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Shell that writes lines as programs write them: a time, a level, a few words and numbers. */
function logOf(bytes: number): string {
  const line = '2026-01-01T00:%02d:%02d.%03dZ info request %d took %d ms, %d bytes to 10.0.%d.%d';
  const values = 'i/60%60, i%60, i*37%1000, i*7919, i*i%911, i*104729%65536, i%256, i*31%256';
  return `awk 'BEGIN { for (i = 0; i < 2000; i++) printf "${line}\\n", ${values} }' | head -c ${bytes}`;
}

async function readAll(client: Client, job: string): Promise<void> {
  let bytes = 0;
  for await (const piece of client.readOutput({ framework: 'batch', task: `${job}.0`, stream: 'stdout' })) {
    if (piece instanceof Fault) throw piece;
    bytes += piece.bytes.length;
  }
  if (bytes !== LOG_BYTES) throw new Error(`${bytes} bytes of log were read`);
}
