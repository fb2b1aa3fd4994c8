import test from 'ava';
import { submitJob } from '../../cli/submit-job.ts';
import { Fault, type FaultCode } from '../../protocol/faults.ts';
import type { JobSpec } from '../../protocol/job.ts';
import type { Client } from '../../sdk/index.ts';

const answering = (answer: unknown): Client => ({ request: () => Promise.resolve(answer) }) as unknown as Client;
const SPEC = { job: 'j1' } as JobSpec;

test('a submission that nobody answered names the job: it may have been taken', async (t) => {
  for (const code of ['NO_LEADER', 'TIMED_OUT', 'UNREACHABLE'] satisfies FaultCode[]) {
    const fault = (await submitJob(answering(new Fault(code)), SPEC, 1)) as Fault;
    t.is(fault.code, code);
    t.regex(fault.message, /[^.]; whether job j1 was taken is not known$/);
    t.regex(fault.hint, /mesq job j1/);
  }
});

test('a refusal is an answer, and so is a job', async (t) => {
  const refusal = new Fault('NOT_ALLOWED');
  t.is(await submitJob(answering(refusal), SPEC, 1), refusal);
  t.deepEqual(await submitJob(answering({ job: 'j1' }), SPEC, 1), { job: 'j1' });
});
