import type { Reason, TaskState } from '../../protocol/task.ts';

/** What the registry knows that bears on a task a framework asks about. */
export interface TaskFacts {
  /** Of the live attempt, or of the newest ended one. */
  readonly known: { readonly state: TaskState; readonly attempt: number } | undefined;
  /** Of the agent the framework names, if it names one. */
  readonly agent: 'registered' | 'disconnected' | 'unreachable' | 'gone' | 'unknown' | undefined;
}

/** What a framework is told. */
export interface ReconcileAnswer {
  readonly state: TaskState;
  readonly reason: Reason;
  readonly message: string;
}

/**
 * The answer about a task the registry does not know; for one it knows, undefined: its own state is the answer.
 * Mesos stays silent while an agent may still come back (master.cpp reconcile); Mesquite always answers, and "not yet
 * known" is TASK_UNKNOWN with words (docs/decisions/0004).
 */
export function answerUnknown({ known, agent }: TaskFacts): ReconcileAnswer | undefined {
  if (known !== undefined) return undefined;
  const say = (state: TaskState, message: string): ReconcileAnswer => ({ state, reason: 'RECONCILIATION', message });
  switch (agent) {
    case 'registered':
      return say('TASK_GONE', 'its agent is registered and does not have it');
    case 'disconnected':
      return say('TASK_UNKNOWN', 'not yet known: its agent has not come back to this leader');
    case 'unreachable':
      return say('TASK_UNREACHABLE', 'its agent is unreachable');
    case 'gone':
      return say('TASK_GONE_BY_OPERATOR', 'its agent was declared gone');
    case 'unknown':
    case undefined:
      return say('TASK_UNKNOWN', 'the registry has never heard of it');
  }
}
