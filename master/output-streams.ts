import { type AGENT_DOWN, BULK } from '../protocol/agent-link.ts';
import type { MessageOf, Outgoing } from '../protocol/envelope.ts';
import { write } from '../protocol/envelope.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { Leader } from './leader.ts';

const READERS = 10_000;

export type Grant = Extract<Outgoing<typeof AGENT_DOWN>, { type: 'READ' | 'READ_FILE' | 'EXEC' }>;

/**
 * Hands output, files and terminals of tasks on from agents to readers. An agent may only send to a reader that asked it; the credit is
 * the reader's own, so nothing piles up here.
 */
export class OutputStreams {
  readonly #leader: Leader;
  readonly #agents: AgentSessions;
  readonly #clients: ClientSessions;
  /** `client/session/request` → name of the agent that may answer, newest last. */
  readonly #readers = new Map<string, string>();

  constructor(leader: Leader, agents: AgentSessions, clients: ClientSessions) {
    this.#leader = leader;
    this.#agents = agents;
    this.#clients = clients;
  }

  grant(agentName: string, grant: Grant): void {
    const reader = `${grant.client}/${grant.session}/${grant.request}`;
    this.#readers.delete(reader);
    this.#readers.set(reader, agentName);
    for (const oldest of this.#readers.keys()) {
      if (this.#readers.size <= READERS) break;
      this.#readers.delete(oldest);
    }
    this.#agents.send(agentName, grant);
  }

  /** The agent that may send to the reader, by its name; undefined where none was asked in this term. */
  agentOf({ client, session, request }: Pick<Grant, 'client' | 'session' | 'request'>): string | undefined {
    return this.#readers.get(`${client}/${session}/${request}`);
  }

  chunk(agentName: string, chunk: MessageOf<typeof BULK>): void {
    const { client, session, request } = chunk;
    const reader = `${client}/${session}/${request}`;
    if (this.#readers.get(reader) !== agentName) {
      this.#leader.world.counters.count('chunk nobody asked for');
      return;
    }
    if (chunk.type === 'CHUNK' && chunk.end) this.#readers.delete(reader);
    this.#clients.bulk(client, session, write(BULK, chunk, this.#clients.encoding(client, session)));
  }
}
