import type { QoS } from '../io/bus.ts';
import type { Timer } from '../io/clock.ts';
import type { MessagePacking } from '../io/compression.ts';
import { AGENT_DOWN, type Fence } from '../protocol/agent-link.ts';
import { type Encoding, type Outgoing, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { isPacked, PACKING, type PackingFacts, packed, unpacked } from '../protocol/packing.ts';
import { topicOf } from '../protocol/topics.ts';
import type { Leader } from './leader.ts';
import { Contacts } from './liveness/contacts.ts';
import type { AgentRecord } from './registry/registry.ts';

type Down = Outgoing<typeof AGENT_DOWN>;
/** A command without its fence, which is added when it is sent. */
export type AgentCommand = DistributiveOmit<Extract<Down, Fence | { cluster: string }>, keyof Fence>;
type DistributiveOmit<Message, Key extends PropertyKey> = Message extends unknown ? Omit<Message, Key> : never;

/** How an agent may speak to this leader. */
interface Bears {
  readonly brief: true;
  readonly opens?: true;
  readonly packs?: number;
  readonly keepAliveMs?: number;
}

/** What an agent hears that was declared gone. */
export function goneFault({ name }: AgentRecord): Fault {
  return new Fault('GONE', `agent ${name} was declared gone`);
}

/** What a leader is told when contact with an agent changes. */
export interface ContactListener {
  connected(agent: AgentRecord): void;
  disconnected(agent: AgentRecord): void;
}

/**
 * The agents as this leader is in contact with them: encodings, leases, and sending with a fence. A lease is renewed
 * by any packet; silence makes an agent disconnected, longer silence is proposed as unreachable.
 */
export class AgentSessions {
  readonly #leader: Leader;
  readonly #contacts: Contacts;
  readonly #encodings = new Map<string, Encoding>();
  /** By name: who packs what it says. */
  readonly #packers = new Set<string>();
  readonly #incarnations = new Map<string, { incarnation: string; session: number }>();
  readonly #listener: ContactListener;
  #timer: Timer | undefined;
  /** When it goes off. */
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(leader: Leader, listener: ContactListener) {
    this.#leader = leader;
    this.#listener = listener;
    this.#contacts = new Contacts(leader.world.times);
    for (const agent of leader.registry.agents.values()) {
      if (agent.state === 'active') this.#contacts.expect(agent.agent, agent.metered, this.#now());
    }
    this.#armFor(this.#contacts.nextMs());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** How the agent of that name writes: it is answered likewise. */
  speaks(name: string, encoding: Encoding): void {
    this.#encodings.set(name, encoding);
  }

  /** What that agent has said, in CBOR or JSON. Who packs is answered likewise. */
  unpacked(name: string, payload: Uint8Array): Uint8Array {
    const known = isPacked(payload) ? this.#packingOf(name) : undefined;
    const plain = known && unpacked(payload, known.facts, known.packing);
    if (plain === undefined) this.#packers.delete(name);
    else this.#packers.add(name);
    return plain ?? payload;
  }

  #packingOf(name: string): { facts: PackingFacts; packing: MessagePacking } | undefined {
    const { world, registry } = this.#leader;
    const record = this.byName(name);
    if (world.packing === undefined || record === undefined) return undefined;
    const { agent, boot } = record;
    return { facts: { cluster: registry.cluster?.uuid ?? '', agent, boot }, packing: world.packing };
  }

  connected(agent: string): boolean {
    return this.#contacts.connected(agent);
  }

  /** Wall-clock milliseconds of its last packet, or null if not heard in this term. */
  lastSeenMs(agent: AgentRecord): number | null {
    const packet = this.#leader.world.lastPacketMs(agent.name);
    if (packet !== undefined) this.#contacts.renew(agent.agent, packet);
    const seen = this.#contacts.lastSeenMs(agent.agent);
    return seen === undefined ? null : Math.round(this.#leader.wallMs() - (this.#now() - seen));
  }

  /** Registered or resumed; from now on it is silent for so long, or undefined: for the first keep-alive. */
  greeted(agent: AgentRecord, keepAliveMs?: number): void {
    const before = this.#contacts.connected(agent.agent);
    this.#contacts.greeted(agent.agent, agent.metered, this.#now(), keepAliveMs);
    this.#armFor(this.#contacts.deadlineMs(agent.agent));
    if (!before) this.#listener.connected(agent);
  }

  /** A message of its session. */
  heard(agent: AgentRecord): void {
    const before = this.#contacts.connected(agent.agent);
    this.#contacts.heard(agent.agent, agent.metered, this.#now());
    this.#armFor(this.#contacts.deadlineMs(agent.agent));
    if (!before) this.#listener.connected(agent);
  }

  /** Its own word, or its will. A late will of an older connection ends no newer session. */
  presence(name: string, incarnation: string, session: number, online: boolean): void {
    const known = this.#incarnations.get(name);
    if (online || known === undefined) this.#incarnations.set(name, { incarnation, session });
    if (online || (known !== undefined && (known.incarnation !== incarnation || session < known.session))) return;
    this.lost(name);
  }

  /** The connection of that name is closed. */
  lost(name: string): void {
    const agent = this.byName(name);
    if (agent === undefined || !this.#contacts.connected(agent.agent)) return;
    this.#contacts.lost(agent.agent, this.#now());
    this.#armFor(this.#contacts.deadlineMs(agent.agent));
    this.#listener.disconnected(agent);
  }

  /** How briefly it may greet, and the longest keep-alive that it may go over to: none but the first where its pings are not seen. */
  bears({ name, metered }: AgentRecord): Bears {
    const seen = this.#leader.world.lastPacketMs(name) !== undefined;
    if (!seen) return { brief: true };
    // Where packets are seen, so is the end of a connection: no will is needed.
    return {
      brief: true,
      ...(metered ? { opens: true } : {}),
      ...(metered && this.#leader.world.packing !== undefined ? { packs: PACKING } : {}),
      keepAliveMs: this.#contacts.longestKeepAliveMs(metered),
    };
  }

  forget(agent: string): void {
    this.#contacts.forget(agent);
  }

  byName(name: string): AgentRecord | undefined {
    const id = this.#leader.registry.names.get(name);
    return id === undefined ? undefined : this.#leader.registry.agents.get(id);
  }

  /** Sends a fenced command to a registered agent; what is lost is repeated by whoever wanted it. */
  command(agent: AgentRecord, command: AgentCommand, qos: QoS = 1): void {
    this.send(agent.name, this.#fenced(agent, command), qos);
    this.#contacts.told(agent.agent, this.#now());
    this.#armFor(this.#contacts.deadlineMs(agent.agent));
  }

  /**
   * Answers what an agent repeats until it is answered. On a metered link at QoS 0: an acknowledgement would say nothing
   * more, and cost two packets; the agent owes no sign of life for it.
   */
  answer(agent: AgentRecord, command: AgentCommand): void {
    if (agent.metered) this.send(agent.name, this.#fenced(agent, command), 0);
    else this.command(agent, command);
  }

  #fenced(agent: AgentRecord, command: AgentCommand): Down {
    const { registry, term } = this.#leader;
    return {
      cluster: registry.cluster?.uuid ?? '',
      generation: registry.cluster?.generation ?? 0,
      term,
      index: registry.index,
      epoch: agent.epoch,
      ...command,
    } as Down;
  }

  /** How it writes, and is written to. */
  encoding(name: string): Encoding {
    return this.#encodings.get(name) ?? 'cbor';
  }

  /** Sends to whoever has that name, registered or not. */
  send(name: string, message: Down, qos: QoS = 1): void {
    const { bus, prefix, log } = this.#leader.world;
    const plain = write(AGENT_DOWN, message, this.encoding(name));
    const known = this.#packers.has(name) ? this.#packingOf(name) : undefined;
    const payload = known === undefined ? plain : packed(plain, known.facts, known.packing);
    bus.publish(topicOf(prefix, { kind: 'down', name }), payload, { qos }).catch((error: unknown) => {
      log.debug('agent not reached', { agent: name, error: String(error) });
    });
  }

  #now(): number {
    return this.#leader.world.clock.monotonic();
  }

  /** One that goes off too early finds nothing and looks for the next: thousands that are heard at once look for none. */
  #armFor(dueMs: number | undefined): void {
    if (dueMs === undefined || dueMs >= this.#timerMs) return;
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    this.#timer = this.#leader.world.clock.after(Math.max(0, Math.ceil(dueMs - this.#now())), () => this.#check());
  }

  #check(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    const { registry, world } = this.#leader;
    for (const agent of registry.agents.values()) {
      const packet = agent.state === 'active' ? world.lastPacketMs(agent.name) : undefined;
      if (packet !== undefined) this.#contacts.renew(agent.agent, packet);
    }
    const { expired, unreachable } = this.#contacts.due(this.#now());
    for (const id of expired) {
      const agent = registry.agents.get(id);
      if (agent === undefined) continue;
      this.lost(agent.name);
      // Its connection may stand for as long as the longest keep-alive: should it be there after all, it greets again.
      world.disconnect(agent.name);
    }
    for (const id of unreachable) {
      const agent = registry.agents.get(id);
      this.#contacts.forget(id);
      if (agent?.state === 'active') {
        this.#leader.propose({
          kind: 'AGENT_UNREACHABLE',
          agent: id,
          epoch: agent.epoch,
          nowMs: this.#leader.wallMs(),
        });
      }
    }
    this.#armFor(this.#contacts.nextMs());
  }
}
