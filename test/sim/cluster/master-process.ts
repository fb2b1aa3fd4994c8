import { createBatch } from '../../../frameworks/batch/batch.ts';
import { systemDigest } from '../../../io/node/digest.ts';
import { type Master, startMaster } from '../../../master/master.ts';
import type { RaftMessage } from '../../../master/raft/state.ts';
import { decode } from '../../../protocol/envelope.ts';
import { Fault } from '../../../protocol/faults.ts';
import type { Member } from '../../../protocol/raft.ts';
import { createSchedulerDriver } from '../../../sdk/scheduler-driver.ts';
import { type DiskLatency, SimulatedDisk } from '../storage.ts';
import type { Audit } from './audit.ts';
import { SimulatedProcess, type Surroundings } from './simulated-process.ts';

/** Small, so that a run of a minute sees many segments and snapshots. */
const LOG_BYTES = { segment: 64 * 1_024, snapshot: 96 * 1_024 } as const;
const PEER = { keepAliveS: 5, connectTimeoutMs: 2_000, backOffCapMs: 500 } as const;
/** Supervised as `mesq up` or systemd does. */
const AGAIN_MS = 1_000;

export interface MasterProcessOptions {
  readonly around: Surroundings;
  readonly audit: Audit;
  readonly id: string;
  readonly rate: number;
  readonly diskMs: () => number;
}

/** One master as `mesq master` puts it together: its broker, its disk, the registry, batch while it leads. */
export class MasterProcess {
  readonly id: string;
  readonly url: string;
  readonly disk = new SimulatedDisk();
  /** The others it is told of at its start. */
  peers: readonly Member[] = [];
  /** It is not to be started again by itself. */
  down = false;
  /** Its wall clock, beside the world's. */
  wallMs = 0;
  readonly #options: MasterProcessOptions;
  #process: SimulatedProcess | undefined;
  #master: Master | undefined;

  constructor(options: MasterProcessOptions) {
    this.#options = options;
    this.id = options.id;
    this.url = urlOf(options.id);
    options.around.network.broker(this.url).stop();
  }

  get runs(): boolean {
    return this.#process !== undefined;
  }

  get paused(): boolean {
    return this.#process?.clock.paused === true;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const { around, audit, id, rate } = this.#options;
    const { network, owners } = around;
    const process = new SimulatedProcess(around, id, rate, () => this.wallMs);
    const { clock, random, log } = process;
    this.#process = process;
    owners.set(this.url, clock);
    audit.restarted(id);
    network.broker(this.url).start();
    const bus = process.connect({ clientId: `master ${id}`, urls: [this.url], local: true });
    const latency: DiskLatency = { clock, latencyMs: this.#options.diskMs };
    const starting = startMaster({
      id,
      prefix: 'mesq',
      urls: [this.url],
      peers: this.peers.filter((peer) => peer.id !== id),
      connectPeer: (peer, traffic) =>
        process.connect({ clientId: `${id}~${traffic}~${peer.id}`, urls: peer.urls, ...PEER }),
      version: '0.0.0',
      bus,
      storage: this.disk.storage(latency),
      clock,
      random,
      digest: systemDigest,
      ...process.packing('toMasters'),
      log,
      logBytes: LOG_BYTES,
      lastPacketMs: (name) => {
        const heard = network.broker(this.url).lastPacketMs(`agent:${name}~`);
        return heard === undefined ? undefined : heard * rate;
      },
      disconnect: (name) => {
        for (const client of network.broker(this.url).clients())
          if (client.startsWith(`agent:${name}~`)) network.cut(client, 'sent away');
      },
      onApplied: (entry, registry) => audit.applied(id, entry, registry),
      onLeading: (term) => {
        audit.leads(id, term);
        const batch = createBatch({ clock, log });
        const driver = createSchedulerDriver({
          bus,
          name: 'batch',
          roles: [],
          scheduler: batch,
          clock,
          random,
          log,
          explicitAcknowledgements: true,
          onCallbackFailed: (callback, error) => audit.violated(`batch fails in ${callback}: ${textOf(error)}`),
        });
        driver.start();
        return () => {
          batch.stop();
          driver.stop(true);
        };
      },
      onFatal: (error) => this.#died(process, error),
    });
    starting.then(
      (started) => {
        if (process !== this.#process) return;
        if (started instanceof Fault) this.#died(process, started);
        else this.#master = started;
      },
      (error: unknown) => this.#died(process, error),
    );
  }

  /** `kill -9`, or the plug: then of what was not durable, some is. */
  kill(how: 'process' | 'power'): void {
    if (how === 'process') this.disk.kill();
    else this.disk.crash(this.#options.around.random);
    this.#end();
  }

  pause(): void {
    this.#process?.pause();
  }

  resume(): void {
    this.#process?.resume();
  }

  /** Its broker saw a connection end. */
  connectionGone(clientId: string): void {
    const [, role, name = ''] = /^(agent|framework):([^~]+)/.exec(clientId) ?? [];
    if (role === 'agent' || role === 'framework') this.#master?.connectionLost(role, name);
  }

  #died(process: SimulatedProcess, error: unknown): void {
    const { around, audit } = this.#options;
    if (process !== this.#process) return;
    around.say(this.id, 'stops', { why: textOf(error) });
    // Whatever is not the disk is our bug.
    if (!/StorageError|EIO|ENOSPC/.test(textOf(error))) audit.violated(`${this.id} stops: ${textOf(error)}`);
    this.kill('process');
    around.clock.after(AGAIN_MS, () => {
      if (!this.down) this.start();
    });
  }

  #end(): void {
    this.#process?.kill();
    this.#process = undefined;
    this.#master = undefined;
    this.#options.around.network.broker(this.url).stop();
  }
}

export function urlOf(master: string): string {
  return `mqtt://${master}:1883`;
}

/** The most frequent message, which says nothing that its HEARTBEAT had not said. */
const HEARTBEAT_REPLY = Buffer.from('HEARTBEAT_REPLY');

/** What masters say to each other, on its way to a broker; undefined for anything else. Its receiver checks its shape. */
export function raftMessageOf(topic: string, payload: Uint8Array): RaftMessage | undefined {
  if (!topic.startsWith('mesq/masters/')) return undefined;
  if (Buffer.from(payload.buffer, payload.byteOffset, payload.length).includes(HEARTBEAT_REPLY)) return undefined;
  const decoded = decode(payload);
  return decoded instanceof Fault ? undefined : (decoded.value as RaftMessage);
}

function textOf(error: unknown): string {
  if (error instanceof Fault) return `${error.code}: ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
