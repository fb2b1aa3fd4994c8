import type { Timer } from '../io/clock.ts';
import type { Attributes } from '../protocol/attributes.ts';
import { cut } from '../protocol/envelope.ts';
import { LIMITS } from '../protocol/limits.ts';
import { isTerminal, type Reason } from '../protocol/task.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { Leader } from './leader.ts';
import { artifactFault } from './offers/artifact-fault.ts';
import { type AgentRecord, type TaskRecord, taskKey, tasksOfAgent } from './registry/registry.ts';

/** Nobody waits for an acknowledgement: those of this long go out together. */
const ACKNOWLEDGE_MS = 50;
/** The same on a metered link. */
const METERED_ACKNOWLEDGE_MS = 1_000;
/** So long a metered agent may take to answer a launch. */
const METERED_ANSWER_MS = 4_000;

/**
 * Carries what is committed to the agents, again and again until it is answered: launches until ACCEPTED, kills until
 * the task has ended, acknowledgements once an update (an update that comes again is acknowledged again).
 */
export class Dispatch {
  readonly #leader: Leader;
  readonly #sessions: AgentSessions;
  /** Launches and kills that go out at the next flush, by agent. */
  readonly #launches = new Map<string, TaskRecord[]>();
  readonly #kills = new Map<string, TaskRecord[]>();
  /** Updates to be acknowledged, by agent: together after so many milliseconds. */
  readonly #acknowledging = new Map<number, { readonly queue: Map<string, string[]>; readonly timer: Timer }>();
  /** Agents with launches or kills that have not been answered. */
  readonly #waiting = new Set<string>();
  /** Launches the agent has made durable, in this term. */
  readonly #answered = new Set<string>();
  /** Agents that have not answered which volumes they have removed. */
  readonly #dooming = new Set<string>();
  /** Those that are told at the next flush. */
  readonly #dooms = new Set<string>();
  /** How often a launch that is not answered was sent to an agent in contact, and when last. */
  readonly #tries = new Map<string, { readonly times: number; readonly lastMs: number }>();
  #timer: Timer | undefined;

  constructor(leader: Leader, sessions: AgentSessions) {
    this.#leader = leader;
    this.#sessions = sessions;
  }

  stop(): void {
    this.#timer?.cancel();
    for (const { timer } of this.#acknowledging.values()) timer.cancel();
  }

  launch(task: TaskRecord): void {
    push(this.#launches, task.agent, task);
  }

  kill(task: TaskRecord): void {
    push(this.#kills, task.agent, task);
  }

  /** What is in its destroyed volumes is to be removed. */
  doom({ agent }: AgentRecord): void {
    this.#dooms.add(agent);
  }

  /** It has been tried there: what could not be removed waits for the next connection. */
  doomAnswered(agent: string): void {
    this.#dooming.delete(agent);
  }

  acknowledge(agent: string, uuid: string): void {
    const { registry, world } = this.#leader;
    const withinMs = registry.agents.get(agent)?.metered === true ? METERED_ACKNOWLEDGE_MS : ACKNOWLEDGE_MS;
    const gathering = this.#acknowledging.get(withinMs);
    if (gathering !== undefined) return push(gathering.queue, agent, uuid);
    const queue = new Map([[agent, [uuid]]]);
    const timer = world.clock.after(withinMs, () => {
      this.#acknowledging.delete(withinMs);
      this.#each(queue, (record, uuids) => {
        for (const updates of cut(uuids, LIMITS.partBytes, LIMITS.tasksPerMessage))
          this.#sessions.answer(record, { type: 'ACKNOWLEDGE', updates });
      });
    });
    this.#acknowledging.set(withinMs, { queue, timer });
  }

  /** The agent has it, durably. */
  answered(key: string): void {
    this.#answered.add(key);
    this.#tries.delete(key);
  }

  ended(key: string): void {
    this.#answered.delete(key);
    this.#tries.delete(key);
  }

  /** Everything an agent may have missed: at every (re)connection. `attributes`: said with it, and perhaps not committed yet. */
  catchUp(agent: AgentRecord, attributes: Attributes = agent.attributes): void {
    this.#repeat({ ...agent, attributes }, 0);
    if (agent.doomed !== undefined) this.doom(agent);
  }

  /** Leaves alone what was sent within the last `recentMs`. */
  #repeat(agent: AgentRecord, recentMs: number): void {
    const nowMs = this.#leader.world.clock.monotonic();
    for (const task of tasksOfAgent(this.#leader.registry, agent.agent)) {
      if (isTerminal(task.state)) continue;
      const { lastMs } = this.#tries.get(keyOf(task)) ?? {};
      if (task.state === 'TASK_STAGING' && !this.#answered.has(keyOf(task))) {
        if (lastMs !== undefined && nowMs - lastMs < recentMs) this.#waiting.add(agent.agent);
        else if (this.#isFit(task, agent)) this.launch(task);
      }
      if (task.kill !== undefined) this.kill(task);
    }
  }

  /** Sends what has gathered; called once after each batch of committed commands. */
  flush(): void {
    this.#each(this.#launches, (agent, tasks) => {
      const wanted = tasks
        .filter((task) => !this.#answered.has(keyOf(task)) && this.#isFit(task, agent) && this.#isInTime(task))
        .map(({ framework, info }) => ({ framework, info }));
      for (const part of cut(wanted, LIMITS.partBytes, LIMITS.tasksPerMessage)) {
        if (part.length === 0) continue;
        const isNew = part.every(
          ({ framework, info }) => this.#tries.get(taskKey(framework, info.task, info.attempt))?.times === 1,
        );
        // It is answered. On a metered link only a repeated one is acknowledged by the link's other end, too.
        this.#sessions.command(agent, { type: 'RUN', tasks: part }, isNew && agent.metered ? 0 : 1);
      }
      this.#waiting.add(agent.agent);
    });
    this.#each(this.#kills, (agent, tasks) => {
      const kills = tasks.map(({ framework, info, kill }) => ({
        framework,
        task: info.task,
        attempt: info.attempt,
        ...(kill?.graceMs === undefined ? {} : { graceMs: kill.graceMs }),
        ...(kill?.tell === true ? { tell: true } : {}),
      }));
      for (const part of cut(kills, LIMITS.partBytes, LIMITS.tasksPerMessage))
        this.#sessions.command(agent, { type: 'KILL', tasks: part });
      this.#waiting.add(agent.agent);
    });
    for (const id of this.#dooms) this.#destroyVolumes(id);
    this.#dooms.clear();
    this.#arm();
  }

  #destroyVolumes(id: string): void {
    const agent = this.#leader.registry.agents.get(id);
    if (agent?.doomed === undefined || !this.#sessions.connected(id)) return;
    const volumes = agent.doomed.map(({ volume, role }) => ({ volume, role }));
    for (const part of cut(volumes)) this.#sessions.command(agent, { type: 'DESTROY_VOLUMES', volumes: part });
    this.#dooming.add(id);
    this.#waiting.add(id);
  }

  /** False where the agent has come to be one that would start it without its files. */
  #isFit(task: TaskRecord, agent: AgentRecord): boolean {
    const fault = artifactFault(task.info, agent);
    if (fault !== undefined) this.#drop(task, 'LAUNCH_FAILED', fault.message);
    return fault === undefined;
  }

  /** False once an agent in contact has left a launch unanswered for its time. */
  #isInTime(task: TaskRecord): boolean {
    const { times, clock } = this.#leader.world;
    const key = keyOf(task);
    const tries = (this.#tries.get(key)?.times ?? 0) + 1;
    this.#tries.set(key, { times: tries, lastMs: clock.monotonic() });
    if (tries <= Math.ceil(times.launchMs / times.launchRetryMs)) return true;
    const seconds = Math.round(times.launchMs / 1_000);
    this.#drop(task, 'LAUNCH_TIMED_OUT', `its agent did not answer the launch within ${seconds} s`);
    return false;
  }

  /**
   * It is dropped, and killed should it have been heard after all. The kill comes after the last RUN on the same topic, so
   * no launch follows it.
   */
  #drop(task: TaskRecord, reason: Reason, message: string): void {
    const { framework, info } = task;
    this.#leader.propose({
      kind: 'END_TASKS',
      tasks: [{ framework, task: info.task, attempt: info.attempt }],
      state: 'TASK_DROPPED',
      reason,
      message,
      nowMs: this.#leader.wallMs(),
    });
    this.kill(task);
  }

  /** Hands over and clears what waits for agents in contact; the rest is dropped: `catchUp` finds it in the registry. */
  #each<Item>(queue: Map<string, Item[]>, send: (agent: AgentRecord, items: Item[]) => void): void {
    if (queue.size === 0) return;
    const waiting = [...queue];
    queue.clear();
    for (const [id, items] of waiting) {
      const agent = this.#leader.registry.agents.get(id);
      if (agent !== undefined && this.#sessions.connected(id)) send(agent, items);
    }
  }

  #arm(): void {
    if (this.#waiting.size === 0 || this.#timer !== undefined) return;
    const { clock, times } = this.#leader.world;
    this.#timer = clock.after(times.launchRetryMs, () => {
      this.#timer = undefined;
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const id of waiting) {
        const agent = this.#leader.registry.agents.get(id);
        if (agent !== undefined && this.#sessions.connected(id)) {
          // The timer knows nothing of when this one was sent.
          this.#repeat(agent, agent.metered ? METERED_ANSWER_MS : 0);
          if (this.#dooming.has(id)) this.#dooms.add(id);
        }
      }
      this.flush();
    });
  }
}

function keyOf({ framework, info }: TaskRecord): string {
  return taskKey(framework, info.task, info.attempt);
}

function push<Item>(queue: Map<string, Item[]>, at: string, item: Item): void {
  const items = queue.get(at);
  if (items === undefined) queue.set(at, [item]);
  else items.push(item);
}
