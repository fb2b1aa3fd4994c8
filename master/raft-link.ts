import { type Bus, BusError } from '../io/bus.ts';
import { read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { type Member, type Membership, RAFT } from '../protocol/raft.ts';
import { parseTopic, topicOf } from '../protocol/topics.ts';
import type { Counters } from './counters.ts';
import type { RaftMessage } from './raft/state.ts';
import { VOCABULARY } from './registry/commands.ts';

/** What a connection to another master's broker is for: neither snapshots nor `state/` nor uploads must delay heartbeats. */
export type PeerTraffic = 'raft' | 'snapshots' | 'state' | 'blocks';

export interface RaftLinkOptions {
  readonly id: string;
  readonly prefix: string;
  /** Of this program. */
  readonly version: string;
  /** On the own broker. */
  readonly bus: Bus;
  readonly counters: Counters;
  /** A connection to the broker of `peer`, authenticated as this master. */
  connect(peer: Member, traffic: PeerTraffic): Bus;
  onMessage(message: RaftMessage): void;
  /** One speaks that the membership here does not name: it cannot be answered. */
  onStranger(from: string): void;
  /** The connection to one of the others has come or gone. */
  onReached(peer: string, reached: boolean): void;
  /** This master's term. */
  term(): number;
  /** The cluster and generation this master belongs to, once it knows. */
  cluster(): string | undefined;
}

interface Peer {
  readonly member: Member;
  readonly raft: Bus;
  snapshots: Bus | undefined;
  state: Bus | undefined;
  blocks: Bus | undefined;
}

/**
 * Raft's way between masters: each is a client of each other's broker, QoS 0, nothing queued, nothing retained. Raft
 * wants its messages lost rather than late. Who speaks is what the topic says.
 */
export class RaftLink {
  readonly #options: RaftLinkOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #versions = new Map<string, string>();

  constructor(options: RaftLinkOptions) {
    this.#options = options;
  }

  async listen(): Promise<void> {
    const { bus, prefix, id, counters, onMessage, onStranger, cluster } = this.#options;
    await bus.subscribe(topicOf(prefix, { kind: 'raft', session: id }), 0, ({ topic, payload, retained }) => {
      const from = parseTopic(prefix, topic)?.name;
      const message = read(RAFT, payload);
      if (retained || from === undefined) counters.count('raft: message on an unknown topic');
      else if (message instanceof Fault) counters.count(`raft: ${message.code}`);
      else if (message.message.from !== from || message.message.to !== id) counters.count('raft: not who it says');
      else if (isOther(cluster(), message.message.cluster)) counters.count('raft: of another cluster or generation');
      else {
        if (!this.#peers.has(from)) onStranger(from);
        else this.#heardVersion(message.message);
        onMessage(message.message);
      }
    });
  }

  /**
   * Connects to whom the membership names anew, and leaves whom it does not name any more; `catchingUp` nobody, for a
   * log that is read again from its beginning names the masters of old first.
   */
  connectTo({ voters, learners }: Membership, catchingUp = false): void {
    const members = new Map([...voters, ...learners].map((member) => [member.id, member]));
    members.delete(this.#options.id);
    for (const [id, peer] of this.#peers) {
      const urls = members.get(id)?.urls.join();
      if (urls === peer.member.urls.join() || (urls === undefined && catchingUp)) continue;
      this.#peers.delete(id);
      this.#versions.delete(id);
      void this.#leave(peer);
    }
    for (const [id, member] of members) {
      if (this.#peers.has(id)) continue;
      const raft = this.#connect(member, 'raft');
      if (raft === undefined) continue;
      this.#peers.set(id, { member, raft, snapshots: undefined, state: undefined, blocks: undefined });
      raft.onConnected(() => {
        this.#options.onReached(id, true);
        this.send({ type: 'PROBE', from: this.#options.id, to: id, term: this.#options.term() });
      });
      raft.onDisconnected(() => this.#options.onReached(id, false));
    }
  }

  /** The connection to that master's broker. */
  busOf(master: string | undefined): Bus | undefined {
    return master === undefined ? undefined : this.#peers.get(master)?.raft;
  }

  /** The masters whose brokers are reached. */
  reached(): string[] {
    return [...this.#peers].filter(([, { raft }]) => raft.connected).map(([id]) => id);
  }

  /** The way of uploaded files to that master; made when it is first asked for. */
  blocksOf(master: string): Bus | undefined {
    const peer = this.#peers.get(master);
    if (peer !== undefined) peer.blocks ??= this.#connect(peer.member, 'blocks');
    return peer?.blocks;
  }

  /** As it was told lately; empty where it was not. */
  versionOf(master: string): string {
    return this.#versions.get(master) ?? '';
  }

  #heardVersion(message: RaftMessage): void {
    if ((message.type === 'PROBE' || message.type === 'PROBE_REPLY') && message.version !== undefined)
      this.#versions.set(message.from, message.version);
  }

  /** Where the `state/` of that master is read; made when it is first asked for. */
  stateOf(master: string | undefined): Bus | undefined {
    const peer = master === undefined ? undefined : this.#peers.get(master);
    if (peer !== undefined) peer.state ??= this.#connect(peer.member, 'state');
    return peer?.state;
  }

  /** Nothing is read any more of the `state/` of others than `master`. */
  leaveStates(master: string | undefined): void {
    for (const [id, peer] of this.#peers) {
      if (id === master) continue;
      void peer.state?.close();
      peer.state = undefined;
    }
  }

  send(message: RaftMessage): void {
    const { prefix, id, version, cluster } = this.#options;
    const peer = this.#peers.get(message.to);
    if (peer === undefined) return;
    if (message.type === 'SNAPSHOT') peer.snapshots ??= this.#connect(peer.member, 'snapshots');
    const bus = message.type === 'SNAPSHOT' ? peer.snapshots : peer.raft;
    if (bus?.connected !== true) return;
    const topic = topicOf(prefix, { kind: 'raft', session: message.to, name: id });
    const greets = message.type === 'PROBE' || message.type === 'PROBE_REPLY';
    const said = {
      ...message,
      ...(greets ? { version } : {}),
      ...(message.type === 'HEARTBEAT_REPLY' ? { knows: VOCABULARY } : {}),
      cluster: cluster(),
    };
    bus.publish(topic, write(RAFT, said), { qos: 0 }).catch(() => undefined);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => this.#leave(peer)));
    this.#peers.clear();
  }

  /** Undefined where none of its URLs is one: what is in the log must not end every master that reads it. */
  #connect(member: Member, traffic: PeerTraffic): Bus | undefined {
    try {
      return this.#options.connect(member, traffic);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      this.#options.counters.count('raft: a master without a URL');
      return undefined;
    }
  }

  async #leave({ raft, snapshots, state, blocks }: Peer): Promise<void> {
    await Promise.all([raft.close(), snapshots?.close(), state?.close(), blocks?.close()]);
  }
}

/**
 * A restored backup must not hear those that it was restored without: their log is another one, with the same indexes.
 * Who does not know yet listens to everybody.
 */
function isOther(own: string | undefined, theirs: string | undefined): boolean {
  return own !== undefined && theirs !== undefined && own !== theirs;
}
