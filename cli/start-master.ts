import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { peerRole } from '../broker/access/sessions.ts';
import { startBroker } from '../broker/broker.ts';
import { createBatch } from '../frameworks/batch/batch.ts';
import type { Bus } from '../io/bus.ts';
import type { Listener } from '../io/listener.ts';
import type { Log } from '../io/log.ts';
import { systemClock } from '../io/node/clock.ts';
import { systemDigest } from '../io/node/digest.ts';
import { systemInflate, systemUnbrotli } from '../io/node/inflate.ts';
import { isLoopback, ListenError, listen } from '../io/node/listener.ts';
import { createLog, type LogLevel } from '../io/node/log.ts';
import { systemPacking } from '../io/node/message-packing.ts';
import { connectMqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { fileStorage } from '../io/node/storage.ts';
import { type Master, startMaster as startMasterShell } from '../master/master.ts';
import type { PeerTraffic } from '../master/raft-link.ts';
import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Member } from '../protocol/raft.ts';
import { isBuiltIn } from '../protocol/scheduler.ts';
import { rights } from '../protocol/topics.ts';
import { createSchedulerDriver } from '../sdk/scheduler-driver.ts';
import type { Allocation } from './allocation-options.ts';
import { ownClusterKey, peerPassword, readClusterKey, ticketKeys } from './start-cluster-key.ts';
import { takeDataFolder } from './start-data-folder.ts';
import { readNamed } from './start-file-words.ts';
import { bindToMaster } from './start-master-id.ts';

export interface StartMasterOptions {
  readonly id: string;
  /** The data folder: made if missing, mode 0700; held by one process. */
  readonly data: string;
  /** `mqtt://`, `mqtts://` or `ws://` URLs. Default `mqtt://127.0.0.1:1883`. */
  readonly listen: readonly string[];
  /** Where peers reach it; default: where it listens. */
  readonly advertise?: readonly string[];
  /** `host:port` for MQTT over WebSocket. */
  readonly http?: string;
  /** Files in PEM, for `mqtts://`. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** The other masters: each with the URLs of its broker. */
  readonly peers?: readonly Member[];
  /** The file with the secret that the masters share. Default, where all of them are on this machine: the user's own. */
  readonly clusterKey?: string;
  /** PEM of the authorities that vouch for the other masters' `mqtts://`. */
  readonly tlsCa?: string;
  /** PEM of the authorities whose certificates tell which agent connects: their common name is the agent's. Default: tokens only. */
  readonly clientCa?: string;
  /** Bytes for uploads. Default LIMITS.blobBytes, or a tenth of the disk where that is less. */
  readonly blobBytes?: number;
  readonly prefix?: string;
  readonly version: string;
  readonly logLevel?: LogLevel;
  /** From disconnected to unreachable, and how long offers live: for tests and small clusters. */
  readonly allocation?: Allocation;
  readonly times?: { readonly unreachableMs?: number; readonly lostAfterMs?: number; readonly offerMs?: number };
}

export interface RunningMaster {
  readonly urls: readonly string[];
  /** Resolves when the disk failed and the process should end. */
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

/** Puts a master together: listeners, broker, registry, built-in frameworks. Returns a fault where a person must act. */
export async function startMaster(options: StartMasterOptions): Promise<RunningMaster | Fault> {
  const id = parseId(options.id, 'the master id');
  if (id instanceof Fault) return id;
  const plain = [...options.listen, ...(options.http === undefined ? [] : [`ws://${options.http}`])].find(
    (url) => !url.startsWith('mqtts://') && !isLoopback(new URL(url).hostname),
  );
  if (plain !== undefined) {
    return new Fault(
      'INSECURE',
      `${plain} would listen beyond this machine in plain text`,
      'Listen on mqtts://… with --tls-cert and --tls-key, or on 127.0.0.1.',
    );
  }
  const key = await clusterKeyOf(options);
  if (key instanceof Fault) return key;
  const ca = options.tlsCa === undefined ? undefined : await readNamed('--tls-ca', options.tlsCa);
  if (ca instanceof Fault) return ca;
  const lock = await takeDataFolder(options.data);
  if (lock instanceof Fault) return lock;
  const listeners = (await bindToMaster(options.data, id)) ?? (await openListeners(options, key));
  if (listeners instanceof Fault) {
    await lock.release();
    return listeners;
  }
  const log = createLog({ level: options.logLevel ?? 'info' });
  const prefix = options.prefix ?? 'mesq';
  const clock = systemClock;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  let master: Master | undefined;
  /** Masters that were refused: each is news once. */
  const strangers = new Set<string>();
  const broker = await startBroker({
    listeners,
    rights: rights(prefix),
    goFirst: ['peer'],
    version: options.version,
    clock,
    log,
    heapBytes: () => process.memoryUsage().heapUsed,
    onRejected: (reason) => master?.counters.count(reason),
    authenticate: ({ username, password, clientId, loopback, secure, certified }) => {
      const name = username === undefined || username === '' ? (clientId.split(/[~/]/)[0] ?? '') : username;
      // A master that has just started may not have been told yet who has a token.
      const pending = master?.informed() !== true ? 'not yet' : undefined;
      if (password === undefined && loopback && !isBuiltIn(name) && pending !== undefined) return pending;
      // Its authority says so: it needs no token, unless one was made for that name.
      if (password === undefined && certified !== undefined && certified === name && !isBuiltIn(name))
        return pending ?? (master?.hasToken(name) === true ? undefined : { role: 'agent', name });
      if (password === undefined)
        // Nobody speaks for a framework that lives in this very process.
        return loopback && !isBuiltIn(name) && master?.hasToken(name) === false ? { role: 'local', name } : undefined;
      // Whoever sent a token in plain text beyond this machine has shown it to the network: it is not accepted.
      if (!loopback && !secure) return undefined;
      if (key !== undefined && isOfPeer(name, clientId)) {
        if (name !== id && password === peerPassword(systemDigest, key, name, id)) return { role: 'peer', name };
        // At once, although nobody else can be told from a stranger yet: who has another key waits for nothing.
        if (!strangers.has(name) && strangers.size < LIMITS.masters) {
          strangers.add(name);
          log.error('refused a master: is its --cluster-key the same as here?', { master: name });
        }
        return undefined;
      }
      const role = master?.roleOf(name, password);
      return role === undefined ? pending : { role, name };
    },
  });
  const urls =
    options.advertise !== undefined && options.advertise.length > 0
      ? options.advertise
      : listeners.map(({ url }) => url);
  const peers = options.peers ?? [];
  // The others must get in before there is a leader: nobody else can, until it is known who may.
  if (key !== undefined) broker.open();
  const started = await startMasterShell({
    id,
    prefix,
    urls,
    peers,
    ...(key === undefined ? {} : { connectPeer: peerConnector({ id, key, ca, log }) }),
    version: options.version,
    bus: broker.local,
    storage: fileStorage(options.data),
    blobBytes: options.blobBytes ?? (await defaultBlobBytes(options.data)),
    clock,
    random: systemRandom,
    digest: systemDigest,
    inflate: systemInflate,
    unbrotli: systemUnbrotli,
    packing: systemPacking,
    log,
    lastPacketMs: (name) => broker.lastPacketMs(name),
    disconnect: (name) => broker.disconnect(name),
    ...(options.times === undefined ? {} : { times: options.times }),
    ...(options.allocation === undefined ? {} : { allocation: options.allocation }),
    onLeading: () => {
      const batch = createBatch({ clock, log });
      const driver = createSchedulerDriver({
        bus: broker.local,
        prefix,
        name: 'batch',
        roles: [],
        scheduler: batch,
        clock,
        random: systemRandom,
        log,
        explicitAcknowledgements: true,
        // One request or status that batch stumbles over does not take the leader along.
        onCallbackFailed: (callback, error) =>
          log.error('batch_callback_failed', {
            callback,
            error: error instanceof Error ? (error.stack ?? error.message) : String(error),
          }),
      });
      driver.start();
      return () => {
        batch.stop();
        driver.stop(true);
      };
    },
    onFatal: (error) => fail(error),
  });
  if (started instanceof Fault) {
    await broker.close();
    await lock.release();
    return started;
  }
  master = started;
  broker.onEnded((speaker, clientId) => {
    const role = peerRole(speaker, clientId);
    if (role !== undefined) master?.connectionLost(role, speaker.name);
  });
  if (key === undefined) broker.open();
  return {
    urls: listeners.map(({ url }) => url),
    failed,
    stop: async () => {
      await started.stop();
      await broker.close();
      await lock.release();
    },
  };
}

async function defaultBlobBytes(data: string): Promise<number> {
  const { blocks, bsize } = await statfs(data);
  return Math.min(LIMITS.blobBytes, Math.floor((blocks * bsize) / 10));
}

/** The others may be reached only with a key: they are on this machine, or it was given one. */
function clusterKeyOf({ peers = [], clusterKey }: StartMasterOptions): Promise<string | Fault> | Fault | undefined {
  if (clusterKey !== undefined) return readClusterKey(clusterKey);
  if (peers.length === 0) return undefined;
  const away = peers.flatMap(({ urls }) => urls).find((url) => !isLoopback(new URL(url).hostname));
  if (away === undefined) return ownClusterKey(process.env, systemRandom);
  return new Fault(
    'BAD_USAGE',
    `--peer ${away} is another machine, and there is no key that both could know`,
    'Write a long random line to a file (mode 0600), the same for every master, and pass it with --cluster-key.',
  );
}

const TRAFFICS: readonly PeerTraffic[] = ['raft', 'snapshots', 'state', 'blocks'];

/** By its client id: see {@link peerConnector}. */
function isOfPeer(name: string, clientId: string): boolean {
  return TRAFFICS.some((traffic) => clientId === `${name}~${traffic}`);
}

/** Reconnects to another master after at most this long: every election waits for it. */
const PEER_BACK_OFF_MS = 500;
const PEER_KEEP_ALIVE_S = 5;

function peerConnector({
  id,
  key,
  ca,
  log,
}: {
  readonly id: string;
  readonly key: string;
  readonly ca: string | undefined;
  readonly log: Log;
}): (peer: Member, traffic: PeerTraffic) => Bus {
  return (peer, traffic) => {
    let refused = false;
    return connectMqttBus({
      urls: peer.urls,
      clientId: `${id}~${traffic}`,
      username: id,
      password: peerPassword(systemDigest, key, id, peer.id),
      keepAliveS: PEER_KEEP_ALIVE_S,
      connectTimeoutMs: 2_000,
      backOffCapMs: PEER_BACK_OFF_MS,
      onRefused: ({ message }) => {
        if (!refused)
          log.error('a master refuses this one: is its --cluster-key the same?', { master: peer.id, message });
        refused = true;
      },
      clock: systemClock,
      random: systemRandom,
      log,
      ...(ca === undefined ? {} : { ca }),
    });
  };
}

async function openListeners(options: StartMasterOptions, clusterKey: string | undefined): Promise<Listener[] | Fault> {
  const listeners: Listener[] = [];
  try {
    const certificate = options.tlsCert === undefined ? undefined : await readNamed('--tls-cert', options.tlsCert);
    if (certificate instanceof Fault) return certificate;
    const key = options.tlsKey === undefined ? undefined : await readNamed('--tls-key', options.tlsKey);
    if (key instanceof Fault) return key;
    const clientCa = options.clientCa === undefined ? undefined : await readNamed('--client-ca', options.clientCa);
    if (clientCa instanceof Fault) return clientCa;
    const tls = {
      ...(certificate === undefined || key === undefined ? {} : { certificate, key }),
      ...(clientCa === undefined ? {} : { clientCa }),
      ...(clusterKey === undefined ? {} : { ticketKeys: ticketKeys(systemDigest, clusterKey) }),
    };
    for (const url of options.listen) listeners.push(await listen({ url, ...tls }));
    if (options.http !== undefined) listeners.push(await listen({ url: `ws://${options.http}` }));
    return listeners;
  } catch (error) {
    for (const listener of listeners) await listener.close();
    if (error instanceof ListenError && error.code === 'EADDRINUSE') {
      return new Fault(
        'IN_USE',
        error.message,
        'Stop that process, or choose another port with --listen or --port (0 takes a free one).',
      );
    }
    return new Fault('BAD_USAGE', error instanceof Error ? error.message : String(error));
  }
}

/** The file in a data folder that holds the first operator's token. */
export function operatorTokenFile(data: string): string {
  return join(data, 'operator-token');
}
