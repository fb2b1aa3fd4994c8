import { type AGENT_DOWN, BULK, type Chunk } from '../protocol/agent-link.ts';
import type { MessageOf, Outgoing } from '../protocol/envelope.ts';
import { write } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { Leader } from './leader.ts';
import { ExecInput } from './tasks/exec-input.ts';

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
  readonly #input = new ExecInput();

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
    if (grant.type === 'EXEC') return this.#agents.send(agentName, this.#bounded(agentName, reader, grant));
    const { inflate, unbrotli } = this.#leader.world;
    return this.#agents.send(agentName, {
      ...grant,
      ...(inflate === undefined ? {} : { deflate: true }),
      ...(unbrotli !== undefined && this.#agents.byName(agentName)?.metered === true ? { brotli: true } : {}),
    });
  }

  /** Without the input that is too much on its way to that agent. */
  #bounded(agentName: string, reader: string, grant: Extract<Grant, { type: 'EXEC' }>): Grant {
    const { input, ...word } = grant.word;
    if (input === undefined) return grant;
    const { clock, counters } = this.#leader.world;
    const { offset, data } = input;
    const session = { agent: agentName, owner: grant.client, session: reader };
    const passed = this.#input.pass(session, offset, data.length, clock.monotonic());
    if (passed === data.length) return grant;
    counters.count('input of a terminal beyond the credit');
    if (passed === 0 || typeof data === 'string') return { ...grant, word };
    return {
      ...grant,
      word: { ...word, input: { offset, data: new Uint8Array(data.subarray(0, passed)), end: false } },
    };
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
    const whole = chunk.type === 'CHUNK' ? this.#inflated(chunk) : chunk;
    if (whole === undefined) {
      this.#leader.world.counters.count('chunk that cannot be inflated');
      return;
    }
    if (chunk.type === 'EXEC_OUTPUT') this.#input.taken(reader, chunk.taken);
    if (chunk.type === 'CHUNK' && chunk.end) this.#readers.delete(reader);
    this.#clients.bulk(client, session, write(BULK, whole, this.#clients.encoding(client, session)));
  }

  /** As it was before the agent packed it; undefined where it is not what it says. */
  #inflated(chunk: Chunk): Chunk | undefined {
    const { deflated, brotli, ...plain } = chunk;
    const length = brotli ?? deflated;
    if (length === undefined) return chunk;
    if (length > LIMITS.chunkBytes) return undefined;
    const { inflate, unbrotli } = this.#leader.world;
    const data = (brotli === undefined ? inflate : unbrotli)?.(chunk.data, length);
    // A Buffer would be written as one: the copy is a plain array of bytes.
    return data?.length === length ? { ...plain, data: new Uint8Array(data) } : undefined;
  }
}
