import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Way } from './memory-agent.ts';

/** What a load process is asked: to start agents, or to answer once `count` of its agents have a session made since then. */
export type Question =
  | { readonly kind: 'start'; readonly agents: readonly { readonly name: string; readonly way: Way }[] }
  | { readonly kind: 'sessions'; readonly sinceMs: number; readonly count: number; readonly starts: number };

export interface Answer {
  /** Tasks started so far. */
  readonly starts: number;
  /** Connections that came to nothing or ended, so far. */
  readonly failures: number;
  /** When the sessions that were asked after were made; wall clock. */
  readonly establishedMs: readonly number[];
}

/** Two: one process of JavaScript cannot play thousands of machines in time. */
const PROCESSES = 2;

/** Memory agents in load processes of their own. */
export class MemoryAgents {
  readonly #loads: readonly ChildProcess[];
  readonly #counts: number[] = [];

  constructor() {
    const script = fileURLToPath(new URL('./memory-agents-process.js', import.meta.url));
    this.#loads = Array.from({ length: PROCESSES }, () => fork(script));
    process.once('exit', () => {
      for (const load of this.#loads) load.kill('SIGKILL');
    });
  }

  /** Resolves when all are started; they register by themselves. */
  async start(agents: readonly { readonly name: string; readonly way: Way }[]): Promise<void> {
    await Promise.all(
      this.#loads.map((load, at) => {
        const own = agents.filter((_, index) => index % PROCESSES === at);
        this.#counts[at] = (this.#counts[at] ?? 0) + own.length;
        return ask(load, { kind: 'start', agents: own });
      }),
    );
  }

  /** Resolves when every agent has a session that was made after `sinceMs`, and each has started `tasks` tasks. */
  async sessions(sinceMs: number, tasks: number): Promise<Answer> {
    const answers = await Promise.all(
      this.#loads.map((load, at) => {
        const count = this.#counts[at] ?? 0;
        return ask(load, { kind: 'sessions', sinceMs, count, starts: tasks * count });
      }),
    );
    return {
      starts: answers.reduce((sum, { starts }) => sum + starts, 0),
      failures: answers.reduce((sum, { failures }) => sum + failures, 0),
      establishedMs: answers.flatMap(({ establishedMs }) => establishedMs),
    };
  }

  async stop(): Promise<void> {
    for (const load of this.#loads) {
      load.kill('SIGKILL');
      await once(load, 'exit');
    }
  }
}

async function ask(load: ChildProcess, question: Question): Promise<Answer> {
  load.send(question);
  const ended = new AbortController();
  const [answer] = (await Promise.race([
    once(load, 'message', { signal: ended.signal }),
    once(load, 'exit', { signal: ended.signal }).then(() => {
      throw new Error('a load process ended');
    }),
  ]).finally(() => ended.abort())) as [Answer];
  return answer;
}
