import type { MessageOf } from '../protocol/envelope.ts';
import { encode } from '../protocol/envelope.ts';
import { Fault, type FaultCode } from '../protocol/faults.ts';
import { LIMITS } from '../protocol/limits.ts';
import { add } from '../protocol/resource-arithmetic.ts';
import type { Resources } from '../protocol/resources.ts';
import type { CALLS } from '../protocol/scheduler.ts';
import { shortened } from '../protocol/shortened.ts';
import type { TaskInfo } from '../protocol/task.ts';
import { accept, type Step } from './offers/accept.ts';
import { artifactFault } from './offers/artifact-fault.ts';
import { refuseFor } from './offers/filters.ts';
import { commands, groupFault, tasksOf } from './offers/groups.ts';
import { taskKey } from './registry/registry.ts';
import type { SchedulerDesk } from './scheduler-calls.ts';

type AcceptCall = Extract<MessageOf<typeof CALLS>, { type: 'ACCEPT' }>;
type Operate = Extract<Step, { kind: 'operate' }>;

/** Whose offers were spent, under which role, and where. */
interface Spent {
  readonly framework: string;
  readonly role: string;
  readonly agent: string;
}

/** What no other offer of the kind mends. */
const NEVER: ReadonlySet<FaultCode> = new Set(['BAD_SHAPE', 'TOO_LARGE', 'UNSUPPORTED']);

/** Spends offers, and proposes what they are spent on, in the order of the call. */
export function acceptOffers(desk: SchedulerDesk, framework: string, call: AcceptCall): void {
  const { offering, operations } = desk;
  const acceptance = accept(offering.book, framework, call.offers, call.operations, (agent) =>
    offering.holdingsOf(agent),
  );
  if (acceptance instanceof Fault) {
    for (const task of call.operations.flatMap(tasksOf)) dropped(desk, framework, task, acceptance);
    for (const operation of call.operations) operations.failed(framework, operation, acceptance);
    return;
  }
  const { role, agent, steps, refused, failed, rest } = acceptance;
  for (const { task, fault } of refused) dropped(desk, framework, task, fault);
  for (const { operation, fault } of failed) operations.failed(framework, operation, fault);
  let unused = rest;
  for (const [at, step] of steps.entries()) {
    if (step.kind === 'launch') unused = add(unused, launch(desk, { framework, role, agent }, step.tasks));
    else if (steps[at - 1]?.kind !== 'operate') operations.propose({ framework, role, agent }, operateFrom(steps, at));
  }
  offering.decline({ framework, role, agent, resources: unused }, refuseFor(call.refuseMs));
  if (steps.length > 0) offering.allocator.used(framework, role, agent);
  // Mesos waits for its next batch here; a scheduler that says "no filter" has more to launch.
  if (call.refuseMs === 0) offering.touch(agent);
}

/** The operations that follow each other from there on: one command. */
function operateFrom(steps: readonly Step[], from: number): Operate[] {
  const together: Operate[] = [];
  for (const step of steps.slice(from)) {
    if (step.kind !== 'operate') break;
    together.push(step);
  }
  return together;
}

/** Proposes launches; what comes back are the resources of those that cannot be proposed, each answered. */
function launch(desk: SchedulerDesk, { framework, role, agent }: Spent, launches: readonly TaskInfo[]): Resources {
  const { leader, offering } = desk;
  let unused: Resources = [];
  const refuse = (task: TaskInfo, fault: Fault): void => {
    unused = add(unused, task.resources);
    dropped(desk, framework, task, fault);
  };
  const record = leader.registry.agents.get(agent);
  const epoch = record?.epoch ?? 0;
  for (const part of commands(launches, LIMITS.commandBytes - 1_024)) {
    const underWay = ({ task, attempt }: TaskInfo): boolean =>
      offering.underWay(framework, task, attempt) !== undefined;
    const known = (task: TaskInfo): boolean =>
      underWay(task) || leader.registry.tasks.has(taskKey(framework, task.task, task.attempt));
    const unfit = (task: TaskInfo): Fault | undefined => (known(task) ? undefined : artifactFault(task, record));
    const fault = groupFault(part, known, part.map(unfit).find(Boolean));
    const tasks = part.filter((task) => {
      if (fault !== undefined && !underWay(task)) {
        refuse(task, fault);
        return false;
      }
      if (part.length === 1 && encode(task, 'cbor').length > LIMITS.commandBytes) {
        refuse(task, new Fault('TOO_LARGE', `task ${task.task} takes more than ${LIMITS.commandBytes} bytes`));
        return false;
      }
      const key = taskKey(framework, task.task, task.attempt);
      const barred = leader.registry.tasks.has(key) ? new Fault('EXISTS') : unfit(task);
      if (barred !== undefined) {
        refuse(task, barred);
        return false;
      }
      const held = offering.hold(key, { framework, role, agent, resources: task.resources });
      // The same launch is on its way to the log: what becomes of that one is the answer.
      if (!held) unused = add(unused, task.resources);
      return held;
    });
    if (tasks.length > 0)
      leader.propose({ kind: 'LAUNCH', framework, role, agent, epoch, tasks, nowMs: leader.wallMs() });
  }
  return unused;
}

/** A launch that came to nothing is answered task by task; one that was committed before, with its recorded outcome. */
export function dropped(
  desk: SchedulerDesk,
  framework: string,
  task: Pick<TaskInfo, 'task' | 'attempt'>,
  fault: Fault,
): void {
  const key = taskKey(framework, task.task, task.attempt);
  const live = desk.leader.registry.tasks.get(key);
  const ended = desk.leader.registry.finished.get(key);
  const about = { framework, task: task.task, attempt: task.attempt, uuid: 'none', sequence: 0, acknowledge: false };
  if (live !== undefined) desk.frameworks.update(framework, desk.frameworks.statusOf(live));
  else if (ended !== undefined) {
    const code = ended.exitCode === undefined ? {} : { exitCode: ended.exitCode };
    desk.frameworks.update(framework, { ...about, restart: ended.restart, state: ended.state, ...code });
  } else {
    const state = NEVER.has(fault.code) ? 'TASK_ERROR' : 'TASK_DROPPED';
    const reason = state === 'TASK_ERROR' ? 'TASK_INVALID' : 'INVALID_OFFERS';
    desk.frameworks.update(framework, {
      ...about,
      restart: 0,
      state,
      reason,
      message: shortened(fault.message, LIMITS.messageLength),
    });
  }
}
