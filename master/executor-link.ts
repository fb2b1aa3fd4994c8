import type { AgentSessions } from './agent-sessions.ts';
import type { FrameworkSessions } from './framework-sessions.ts';
import type { Leader } from './leader.ts';
import type { AgentRecord } from './registry/registry.ts';

interface ExecutorKey {
  readonly framework: string;
  readonly executor: string;
}

/**
 * What schedulers and their executors say to each other, carried at most once, and the end of executors whose framework
 * is gone. The registry knows nothing of executors: their tasks are all that must not be lost.
 */
export class ExecutorLink {
  readonly #leader: Leader;
  readonly #agents: AgentSessions;
  readonly #frameworks: FrameworkSessions;
  /** Agent id → its executors without a task, as it said last: no task brings their end to them. */
  readonly #idle = new Map<string, readonly ExecutorKey[]>();

  constructor(leader: Leader, agents: AgentSessions, frameworks: FrameworkSessions) {
    this.#leader = leader;
    this.#agents = agents;
    this.#frameworks = frameworks;
  }

  /** A scheduler to one of its executors. */
  tell(framework: string, agent: string, executor: string, data: string): void {
    const record = this.#inContact(agent);
    if (record !== undefined) this.#agents.command(record, { type: 'MESSAGE', framework, executor, data });
  }

  shutDown(framework: string, agent: string, executor: string): void {
    const record = this.#inContact(agent);
    if (record !== undefined)
      this.#agents.command(record, { type: 'SHUTDOWN_EXECUTORS', executors: [{ framework, executor }] });
  }

  /** An executor to its scheduler. */
  spoke({ agent }: AgentRecord, framework: string, executor: string, data: string): void {
    if (this.#frameworks.active(framework))
      this.#frameworks.send(framework, { type: 'MESSAGE', agent, executor, data });
  }

  ended({ agent }: AgentRecord, framework: string, executor: string, status: number | null): void {
    if (!this.#frameworks.active(framework)) return;
    this.#frameworks.send(framework, { type: 'FAILURE', agent, state: 'executor-ended', executor, status });
  }

  /** Replaces what that agent said before. Those of no framework that is known have waited for nothing. */
  idle(agent: AgentRecord, executors: readonly ExecutorKey[]): void {
    const { frameworks } = this.#leader.registry;
    const orphans = executors.filter(({ framework }) => !frameworks.has(framework));
    const waiting = executors.filter(({ framework }) => frameworks.has(framework));
    if (waiting.length > 0) this.#idle.set(agent.agent, waiting);
    else this.#idle.delete(agent.agent);
    if (orphans.length > 0) this.#agents.command(agent, { type: 'SHUTDOWN_EXECUTORS', executors: orphans });
  }

  /** A framework is gone. Executors that still have tasks of it say that they are idle once those are killed. */
  removed(framework: string): void {
    for (const [agent, executors] of this.#idle) {
      const own = executors.filter((each) => each.framework === framework);
      const record = own.length === 0 ? undefined : this.#inContact(agent);
      if (record !== undefined) this.#agents.command(record, { type: 'SHUTDOWN_EXECUTORS', executors: own });
    }
  }

  #inContact(agent: string): AgentRecord | undefined {
    return this.#agents.connected(agent) ? this.#leader.registry.agents.get(agent) : undefined;
  }
}
