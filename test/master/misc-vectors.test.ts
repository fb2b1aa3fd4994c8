import { readFileSync } from 'node:fs';
import test from 'ava';
import { refuseFor } from '../../master/offers/filters.ts';
import { answerUnknown, type TaskFacts } from '../../master/tasks/reconcile.ts';

interface MiscCase {
  readonly id: string;
  readonly kind: string;
  /** Of a reconcile: what the master knows of the task, and of the agent that was named. */
  readonly task?: 'known' | 'unknown';
  readonly agent?: string;
  readonly partitionAware?: string;
  readonly refuseSeconds?: number;
  readonly effectiveBeforeIntervalMax?: number;
}

const path = process.env['MESQ_CASES'];
const cases =
  path === undefined
    ? undefined
    : (JSON.parse(readFileSync(path, 'utf8')) as { readonly miscCases: readonly MiscCase[] }).miscCases;

/** Words of the vectors for an agent → ours. Mesos's "recovered" is one that this leader has not heard of yet. */
function factsOf({ agent = '' }: MiscCase): TaskFacts['agent'] {
  if (/no agent id/.test(agent)) return undefined;
  if (/recovered/.test(agent)) return 'disconnected';
  return (['registered', 'unreachable', 'gone', 'unknown'] as const).find((word) => agent.includes(word));
}

test('the vectors of reconciling hold, but that every question is answered', (t) => {
  if (cases === undefined) {
    t.log('skipped: MESQ_CASES names no file of vectors');
    t.pass();
    return;
  }
  for (const vector of cases.filter(({ kind }) => kind === 'explicitReconcile')) {
    if (vector.task === 'known') {
      t.is(
        answerUnknown({ known: { state: 'TASK_RUNNING', attempt: 0 }, agent: factsOf(vector) }),
        undefined,
        vector.id,
      );
      continue;
    }
    const answer = answerUnknown({ known: undefined, agent: factsOf(vector) });
    // Where Mesos stays silent, "not yet known" is said (docs/decisions/0004).
    const expected = vector.partitionAware === 'no reply' ? 'TASK_UNKNOWN' : vector.partitionAware?.split(' ')[0];
    t.is<string | undefined, string | undefined>(answer?.state, expected, vector.id);
    t.is(answer?.reason, 'RECONCILIATION');
  }
});

test('the vectors of refusals hold', (t) => {
  if (cases === undefined) {
    t.log('skipped: MESQ_CASES names no file of vectors');
    t.pass();
    return;
  }
  for (const vector of cases.filter(({ kind }) => kind === 'refuseSecondsClamp'))
    t.is(refuseFor((vector.refuseSeconds ?? 0) * 1_000), (vector.effectiveBeforeIntervalMax ?? 0) * 1_000, vector.id);
});
