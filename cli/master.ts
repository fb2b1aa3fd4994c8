import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Member } from '../protocol/raft.ts';
import { sizeToMb } from '../protocol/size.ts';
import { type AllocationOptions, addAllocationOptions, allocationOf } from './allocation-options.ts';
import { LEVELS, logLevelOf } from './log-level.ts';
import { notice, printLine } from './output.ts';
import { stopSignal } from './stop-signal.ts';
import type { Verb } from './verb.ts';

interface MasterOptions extends AllocationOptions {
  readonly id: string;
  readonly data: string;
  readonly listen?: readonly string[];
  readonly advertise?: readonly string[];
  readonly http?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly clientCa?: string;
  readonly peer?: readonly string[];
  readonly clusterKey?: string;
  readonly blobs?: string;
  readonly log: string;
}

/** `mesq master`: one master, until it is told to stop. */
export const master: Verb = {
  examples: [
    'mesq master --id m1 --data /var/lib/mesq/m1',
    'mesq master --id m1 --data DIR --peer m2=mqtt://127.0.0.1:1884 --peer m3=mqtt://127.0.0.1:1885',
    'mesq master --id m1 --data DIR --listen mqtts://0.0.0.0:8883 --tls-cert m1.pem --tls-key m1.key',
  ],
  exits: { 0: 'it was told to stop' },
  configure: (command) => {
    const gather = (value: string, before: string[] = []): string[] => [...before, value];
    command
      .requiredOption('--id <id>', 'its name among the masters')
      .requiredOption('--data <dir>', 'its data folder, of its own')
      .option('--listen <url>', 'mqtt:// or mqtts://; port 0 takes a free one (default mqtt://127.0.0.1:1883)', gather)
      .option('--advertise <url>', 'where others reach it (default: where it listens)', gather)
      .option('--peer <id=url>', 'another master, and where its broker is; once for each', gather)
      .option('--cluster-key <file>', 'the secret that the masters share (on one machine: made by itself)')
      .option('--http <host:port>', 'MQTT over WebSocket')
      .option('--tls-cert <file>', 'PEM, for mqtts://')
      .option('--tls-key <file>', 'PEM, for mqtts://')
      .option('--tls-ca <file>', 'PEM, for mqtts:// of the other masters')
      .option('--client-ca <file>', 'PEM: its certificates tell which agent connects, by their common name')
      .option('--blobs <size>', 'for uploads, MB or with K, M, G (default 1G, at most a tenth of the disk)')
      .option('--log <level>', LEVELS.join(', '), 'info');
    addAllocationOptions(command);
  },
  run: async (context, command) => {
    const written = command.opts<MasterOptions>();
    const {
      id,
      data,
      listen = ['mqtt://127.0.0.1:1883'],
      advertise,
      http,
      tlsCert,
      tlsKey,
      tlsCa,
      clientCa,
      clusterKey,
    } = written;
    const logLevel = logLevelOf(written.log);
    if (logLevel instanceof Fault) return logLevel;
    const bad = listen.find((url) => !/^(mqtts?|wss?):\/\/./.test(url) || !URL.canParse(url));
    if (bad !== undefined)
      return new Fault('BAD_USAGE', `--listen: ${bad} is no URL of a broker`, 'Write it like mqtt://127.0.0.1:1883.');
    const peers = peersOf(written.peer ?? [], id);
    if (peers instanceof Fault) return peers;
    const allocation = allocationOf(written);
    if (allocation instanceof Fault) return allocation;
    const blobMb = written.blobs === undefined ? undefined : sizeToMb(written.blobs);
    if (blobMb instanceof Fault) return new Fault('BAD_USAGE', `--blobs: ${blobMb.message}`, blobMb.hint);
    const stopped = stopSignal(context.terminal);
    const { startMaster } = await import('./start-master.ts');
    const running = await startMaster({
      id,
      data,
      listen,
      prefix: context.options.prefix,
      version: context.terminal.version,
      logLevel,
      allocation,
      peers,
      ...(blobMb === undefined ? {} : { blobBytes: Math.floor((blobMb / 1_000) * 1_048_576) }),
      ...(advertise === undefined ? {} : { advertise }),
      ...(http === undefined ? {} : { http }),
      ...(tlsCert === undefined ? {} : { tlsCert }),
      ...(tlsKey === undefined ? {} : { tlsKey }),
      ...(tlsCa === undefined ? {} : { tlsCa }),
      ...(clientCa === undefined ? {} : { clientCa }),
      ...(clusterKey === undefined ? {} : { clusterKey }),
    });
    if (running instanceof Fault) return running;
    for (const url of running.urls) await printLine(context, `listening ${url}`);
    const error = await Promise.race([stopped, running.failed]);
    if (error instanceof Error) return new Fault('DISK', error.message);
    await notice(context, 'stopping');
    await running.stop();
    return 0;
  },
};

/** `m2=mqtt://host:1883`; one that has several URLs has them with commas. */
function peersOf(written: readonly string[], self: string): Member[] | Fault {
  const peers = new Map<string, Member>();
  for (const text of written) {
    const [, word = '', list = ''] = /^([^=]*)=(.*)$/.exec(text) ?? [];
    const hint = 'Write it like --peer m2=mqtt://127.0.0.1:1884.';
    const id = parseId(word, '--peer');
    if (id instanceof Fault) return new Fault('BAD_USAGE', `--peer ${text}: ${id.message}`, hint);
    const urls = list.split(',');
    const bad = urls.find((url) => !/^(mqtts?|wss?):\/\/./.test(url) || !URL.canParse(url));
    if (bad !== undefined)
      return new Fault('BAD_USAGE', `--peer ${text}: ${bad || 'nothing'} is no URL of a broker`, hint);
    if (id === self) return new Fault('BAD_USAGE', `--peer ${text}: that is this master itself`, 'Leave it out.');
    if (peers.has(id))
      return new Fault(
        'BAD_USAGE',
        `--peer ${text}: ${id} was named before`,
        `Give each master once; several URLs of one with commas: --peer ${id}=URL,URL.`,
      );
    peers.set(id, { id, urls });
  }
  if (peers.size >= LIMITS.masters)
    return new Fault('BAD_USAGE', `a cluster has at most ${LIMITS.masters} masters, and 1, 3 or 5 are what one wants`);
  return [...peers.values()];
}
