import { type Encoding, type Outgoing, write } from '../protocol/envelope.ts';
import type { CredentialRole, Principal } from '../protocol/operator.ts';
import { REPLIES } from '../protocol/operator.ts';
import { topicOf } from '../protocol/topics.ts';
import type { Leader } from './leader.ts';

type Answer = Omit<Outgoing<typeof REPLIES>, 'type'>;

/** Who asks, on which session, and under what id of the request. */
export interface Asker {
  readonly principal: Principal;
  readonly session: string;
  readonly request: string;
}

/** Who has sent a request. */
export interface ClientSpeaker {
  /** From the topic. */
  readonly name: string;
  /** As what its connection stood when it sent that: `local` showed no token. Undefined where no broker of ours took it in. */
  readonly role?: string | undefined;
  readonly session: string;
}

const RANK: Readonly<Record<CredentialRole, number>> = {
  agent: -1,
  framework: -1,
  join: -1,
  viewer: 0,
  user: 1,
  operator: 2,
};

/** True where `principal` may ask what `role` may ask. To join is for join tokens alone: it counts their uses. */
export function mayAsk(principal: Principal, role: CredentialRole): boolean {
  return role === 'join' ? principal.role === 'join' : RANK[principal.role] >= RANK[role];
}

/** The clients of the operator API: who they are, and how they write. */
export class ClientSessions {
  readonly #leader: Leader;
  readonly #encodings = new Map<string, Encoding>();

  constructor(leader: Leader) {
    this.#leader = leader;
  }

  speaks(client: string, session: string, encoding: Encoding): void {
    const at = `${client}/${session}`;
    this.#encodings.delete(at);
    this.#encodings.set(at, encoding);
    // Bounded: a session forgotten here is answered in CBOR until it speaks again.
    for (const oldest of this.#encodings.keys()) {
      if (this.#encodings.size <= 10_000) break;
      this.#encodings.delete(oldest);
    }
  }

  /**
   * Whose name it is, and what it may. A name without a token came through an anonymous loopback listener, which speaks as
   * an operator; the broker refuses a name that has a token without that token. Undefined: it spoke with a token that was
   * revoked meanwhile, and must not have more rights than it had.
   */
  principal({ name, role: spoken }: ClientSpeaker): Principal | undefined {
    for (const token of this.#leader.registry.tokens.values())
      if (token.name === name) return { name, role: token.role };
    return spoken === undefined || spoken === 'local' ? { name, role: 'operator' } : undefined;
  }

  encoding(client: string, session: string): Encoding {
    return this.#encodings.get(`${client}/${session}`) ?? 'cbor';
  }

  reply(client: string, session: string, answer: Answer): void {
    const payload = write(REPLIES, { type: 'REPLY', ...answer }, this.encoding(client, session));
    this.#publish(topicOf(this.#leader.world.prefix, { kind: 'reply', name: client, session }), payload);
  }

  bulk(client: string, session: string, payload: Uint8Array): void {
    this.#publish(topicOf(this.#leader.world.prefix, { kind: 'clientBulk', name: client, session }), payload);
  }

  #publish(topic: string, payload: Uint8Array): void {
    const { bus, log } = this.#leader.world;
    bus
      .publish(topic, payload, { qos: 1 })
      .catch((error: unknown) => log.debug('client not reached', { topic, error: String(error) }));
  }
}
