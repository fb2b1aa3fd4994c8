import type { Clock } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { SandboxShells } from '../io/sandbox-shells.ts';
import { BULK } from '../protocol/agent-link.ts';
import { write } from '../protocol/envelope.ts';
import type { Exec } from '../protocol/exec.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { BulkBudget } from './bulk-budget.ts';
import { type BesideRun, type ExecNews, ExecSession } from './exec-session.ts';

/** Sessions that are over: a word that comes late starts nothing again. */
const OVER = 1_000;
/** Pieces underway at once, over all sessions: what may lie before a report on the connection. */
const UNDERWAY = 2;

export interface ExecWorld {
  /** Undefined: nobody is let in here. */
  readonly shells: SandboxShells | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly agentName: string;
  /** Of this process. */
  readonly incarnation: string;
  /** A run that runs; undefined where it does not. */
  readonly find: (framework: string, task: string, attempt: number) => BesideRun | undefined;
  /** Sends on `agents/<name>/bulk`; rejects without a connection. */
  readonly send: (payload: Uint8Array) => Promise<void>;
  /** Is told what was sent, and never asked: nobody's terminal stops in the middle of a word. */
  readonly budget: Pick<BulkBudget, 'spent'>;
}

/** The programs that people have started beside tasks: who may is the leader's to know, whether and how many this agent's. */
export class ExecSessions {
  readonly #world: ExecWorld;
  readonly #sessions = new Map<string, ExecSession>();
  /** Newest last. */
  readonly #over = new Set<string>();
  #underway = 0;
  #waiting: (() => void)[] = [];

  constructor(world: ExecWorld) {
    this.#world = world;
  }

  word(exec: Exec): void {
    const { word, client, session, request } = exec;
    const key = `${client}/${session}/${request}`;
    const known = this.#sessions.get(key);
    const answer = (news: ExecNews): void => void this.#send(exec, news).catch(() => {});
    if (word.hangUp === true) {
      this.#end(key);
      known?.leave();
      return;
    }
    if (word.incarnation === undefined) return answer({});
    if (word.incarnation !== this.#world.incarnation)
      return answer({
        fault: new Fault(
          'UNREACHABLE',
          `agent ${this.#world.agentName} was restarted, which ends what was started beside its tasks`,
          'The task itself goes on; start the command again.',
        ),
      });
    if (known !== undefined) return known.word(word);
    if (word.start === undefined || this.#over.has(key))
      return answer({ fault: new Fault('NOT_FOUND', 'the session is over', 'Start the command again.') });
    const fault = this.#begin(key, exec, word.start.argv);
    if (fault !== undefined) answer({ fault });
  }

  /** In contact with a leader again. */
  established(): void {
    for (const session of this.#sessions.values()) session.resend();
  }

  /** A start of the run has ended: nothing stays beside it. */
  taskEnded(framework: string, task: string, attempt: number): void {
    for (const session of this.#sessions.values()) if (session.isBeside(framework, task, attempt)) session.hangUp();
  }

  /** Everything is ended, at once. */
  stop(): void {
    for (const session of this.#sessions.values()) session.kill();
    this.#sessions.clear();
  }

  #begin(key: string, exec: Exec, [program = '']: readonly string[]): Fault | undefined {
    const { shells, agentName, log, clock } = this.#world;
    const { word, client, framework, task, attempt } = exec;
    if (shells === undefined || word.start === undefined)
      return new Fault(
        'UNSUPPORTED',
        `agent ${agentName} lets nobody in`,
        'It was started with --no-exec, or stands for a device.',
      );
    if (this.#sessions.size >= LIMITS.execSessions)
      return new Fault(
        'LIMIT',
        `agent ${agentName} has ${this.#sessions.size} sessions already`,
        'End one of them first.',
      );
    const run = this.#world.find(framework, task, attempt);
    if (run === undefined)
      return new Fault(
        'NOT_FOUND',
        `task ${task} does not run on agent ${agentName}`,
        'Only beside a task that runs; mesq ps shows which do.',
      );
    // Its arguments may be secrets.
    log.info('exec', { by: client, task, attempt, program: program.slice(0, 100) });
    const session = new ExecSession({
      ...{ exec, run, shells, clock, start: word.start },
      send: (news) => this.#send(exec, news),
      over: () => {
        log.info('exec ended', { by: client, task, attempt });
        this.#end(key);
      },
    });
    this.#sessions.set(key, session);
    session.word(word);
    return undefined;
  }

  #end(key: string): void {
    this.#sessions.delete(key);
    this.#over.delete(key);
    this.#over.add(key);
    for (const oldest of this.#over) {
      if (this.#over.size <= OVER) break;
      this.#over.delete(oldest);
    }
  }

  async #send({ request, client, session }: Exec, news: ExecNews): Promise<void> {
    if (this.#underway < UNDERWAY) this.#underway++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      const { incarnation } = this.#world;
      const to = { request, client, session, incarnation, running: false, taken: 0 };
      const payload = write(BULK, { type: 'EXEC_OUTPUT', ...to, ...news });
      await this.#world.send(payload);
      this.#world.budget.spent(payload.length);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#underway--;
      else next();
    }
  }
}
