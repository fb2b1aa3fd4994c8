import { EXEC_ATTRIBUTE, type ExecWord } from '../protocol/exec.ts';
import { Fault } from '../protocol/faults.ts';
import type { Principal } from '../protocol/operator.ts';
import type { AgentSessions } from './agent-sessions.ts';
import type { Asker } from './client-sessions.ts';
import type { EventFeed } from './event-feed.ts';
import type { Leader } from './leader.ts';
import type { OutputStreams } from './output-streams.ts';
import { attemptsOf } from './registry/apply-tasks.ts';
import { type TaskRecord, taskKey } from './registry/registry.ts';

interface ExecDesk {
  readonly leader: Leader;
  readonly agents: AgentSessions;
  readonly streams: OutputStreams;
  readonly feed: EventFeed;
  /** Session → what everybody was told of it last: no other start goes under its word. */
  readonly entered: Map<string, string>;
}

/** Sessions of which is remembered what was told: of an older one it is told again. */
const ENTERED = 1_000;

interface ExecBody {
  readonly framework: string;
  readonly task: string;
  readonly attempt?: number | undefined;
  readonly word: ExecWord;
}

/**
 * Hands a client's word on to its session beside a task, where it may speak there. Who and where is told to everybody in
 * `events/`; of the command its program alone, for what follows may be a secret.
 */
export function passWord(
  desk: ExecDesk,
  { framework, task, attempt, word }: ExecBody,
  { principal, session: client }: Asker,
): { attempt: number; agent: string }[] | Fault {
  const { session: request, ...rest } = word;
  const to = { request, client: principal.name, session: client };
  const record = runningTask(desk.leader, framework, task, attempt);
  // Beside a task that has ended since, the program's last words are still to be heard.
  const before =
    word.start === undefined && attempt !== undefined
      ? (desk.streams.agentOf(to) ?? agentOfEnded(desk.leader, framework, task, attempt))
      : undefined;
  if (record === undefined && before !== undefined && attempt !== undefined) {
    desk.streams.grant(before, { type: 'EXEC', ...to, framework, task, attempt, word: rest });
    return [{ attempt, agent: before }];
  }
  if (record === undefined)
    return new Fault('NOT_FOUND', `no task ${task} runs`, 'Only beside a task that runs; mesq ps shows which do.');
  if (!mayEnter(principal, record))
    return new Fault(
      'NOT_ALLOWED',
      `${task} is not ${principal.name}'s: only the owner of its job and operators may enter it`,
      'Ask its owner, or an operator.',
    );
  const agent = desk.leader.registry.agents.get(record.agent);
  const named = agent?.name ?? record.agent;
  if (agent === undefined || agent.state !== 'active' || !desk.agents.connected(agent.agent))
    return new Fault(
      'UNREACHABLE',
      `${task} runs on agent ${named}, which does not answer`,
      'Repeat when mesq agents shows it active.',
    );
  if (!agent.attributes.some(({ name }) => name === EXEC_ATTRIBUTE))
    return new Fault(
      'UNSUPPORTED',
      `agent ${named} lets nobody in: it was started with --no-exec, is of an older version, or stands for a device`,
      `Agents that do have the attribute ${EXEC_ATTRIBUTE} in mesq agents.`,
    );
  if (word.start !== undefined)
    tellOnce(
      desk,
      `${principal.name}/${client}/${request}`,
      task,
      `${principal.name} runs ${programOf(word.start.argv)} beside task ${task} on ${named}`,
    );
  desk.streams.grant(agent.name, { type: 'EXEC', ...to, framework, task, attempt: record.info.attempt, word: rest });
  return [{ attempt: record.info.attempt, agent: agent.name }];
}

/** A start is said until it is answered. */
function tellOnce({ feed, entered }: ExecDesk, session: string, task: string, text: string): void {
  if (entered.get(session) === text) return;
  entered.delete(session);
  entered.set(session, text);
  for (const oldest of entered.keys()) {
    if (entered.size <= ENTERED) break;
    entered.delete(oldest);
  }
  feed.tell('exec', task, text);
}

function runningTask(
  { registry }: Leader,
  framework: string,
  task: string,
  attempt: number | undefined,
): TaskRecord | undefined {
  const key = attempt === undefined ? attemptsOf(registry, framework, task).at(-1) : taskKey(framework, task, attempt);
  return key === undefined ? undefined : registry.tasks.get(key);
}

/** Of its sessions a new leader knows nothing; the agent does, and hands none to anybody but the client that began it. */
function agentOfEnded({ registry }: Leader, framework: string, task: string, attempt: number): string | undefined {
  const ended = registry.finished.get(taskKey(framework, task, attempt));
  return ended === undefined ? undefined : registry.agents.get(ended.agent)?.name;
}

/** Batch takes one role for each owner: whose job it is, is under which role its resources were offered. */
function mayEnter({ name, role }: Principal, record: TaskRecord): boolean {
  return role === 'operator' || (record.framework === 'batch' && record.role === name);
}

function programOf([program = '']: readonly string[]): string {
  return JSON.stringify(program.slice(0, 100));
}
