import type { Timer } from '../io/clock.ts';
import type { AGENT_UP } from '../protocol/agent-link.ts';
import type { MessageOf } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { TIMES } from '../protocol/limits.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { Asker, ClientSessions } from './client-sessions.ts';
import type { Leader } from './leader.ts';
import type { AgentRecord } from './registry/registry.ts';

type Answer = Extract<MessageOf<typeof AGENT_UP>, { type: 'STATS' }>;

/** Askers that wait at once. */
const WAITING = 1_000;

/** Hands the question what an agent has counted on to it, and its answer back to whoever asked. */
export class AgentStatsDesk {
  readonly #leader: Leader;
  readonly #agents: AgentSessions;
  readonly #clients: ClientSessions;
  /** `client/session/request` → who may answer, and until when. */
  readonly #waiting = new Map<string, { agent: string; timer: Timer }>();

  constructor(leader: Leader, agents: AgentSessions, clients: ClientSessions) {
    this.#leader = leader;
    this.#agents = agents;
    this.#clients = clients;
  }

  /** Asks; the fault where it cannot, undefined where the agent, or the lack of its answer, is told later. */
  ask(wanted: string, { principal, session, request }: Asker): Fault | undefined {
    const agent = this.#agents.byName(wanted) ?? this.#leader.registry.agents.get(wanted);
    if (agent === undefined) return new Fault('NOT_FOUND', `there is no agent ${wanted}`, 'mesq agents lists them.');
    if (agent.state !== 'active' || !this.#agents.connected(agent.agent))
      return new Fault('UNREACHABLE', `agent ${agent.name} is not connected`, 'Its counts are its own memory.');
    const key = `${principal.name}/${session}/${request}`;
    this.#waiting.get(key)?.timer.cancel();
    if (this.#waiting.size >= WAITING && !this.#waiting.has(key))
      return new Fault('LIMIT', `${WAITING} wait for the counts of agents already`, 'Repeat in a moment.');
    const timer = this.#leader.world.clock.after(TIMES.statsMs, () => this.#silent(key, agent));
    this.#waiting.set(key, { agent: agent.agent, timer });
    this.#agents.send(agent.name, { type: 'ASK_STATS', request, client: principal.name, session });
    return undefined;
  }

  answered(agent: AgentRecord, { client, session, request, stats }: Answer): void {
    const key = `${client}/${session}/${request}`;
    const waiting = this.#waiting.get(key);
    if (waiting?.agent !== agent.agent) {
      this.#leader.world.counters.count('stats nobody asked for');
      return;
    }
    waiting.timer.cancel();
    this.#waiting.delete(key);
    this.#clients.reply(client, session, { request, part: 0, last: true, body: { agent: agent.name, stats } });
  }

  stop(): void {
    for (const { timer } of this.#waiting.values()) timer.cancel();
    this.#waiting.clear();
  }

  #silent(key: string, { name }: AgentRecord): void {
    this.#waiting.delete(key);
    const [client = '', session = '', request = ''] = key.split('/');
    const fault = new Fault(
      'TIMED_OUT',
      `agent ${name} did not tell what it has counted`,
      'An agent of an older version, or a device, does not know the question; on a slow link, ask again.',
    );
    this.#clients.reply(client, session, { request, part: 0, last: true, fault });
  }
}
