import test, { type ExecutionContext } from 'ava';
import { Fault } from '../../protocol/faults.ts';
import type { TaskView } from '../../protocol/job.ts';
import type { TestTask } from '../../sdk/test-tasks.ts';
import { BatchWorld } from '../frameworks/batch-world.ts';
import { ScriptedShell } from './scripted-terminal.ts';

/** A shell on a cluster whose leader has nothing of any task to enter or to read, and knows of those that were placed. */
function shell(onLaunch: (task: TestTask) => void, placed: () => Partial<TaskView>[] = () => []): ScriptedShell {
  const world = new BatchWorld(1, {
    onLaunch,
    onRequest: (op) => {
      if (op === 'tasks') return { tasks: placed().map((view) => ({ ...VIEW, ...view })) };
      if (op === 'frameworks') return { frameworks: [{ ...FRAMEWORK, name: 'spark' }] };
      return new Fault('NOT_FOUND', `the leader has no ${op}`);
    },
  });
  world.master.addAgent({ name: 'a1', resources: 'cpus:4;mem:1024' });
  return new ScriptedShell(world);
}

const VIEW: TaskView = {
  ...{ id: 'x', framework: 'batch', job: 'x', index: 0, attempt: 0, restart: 0, state: 'TASK_RUNNING' },
  ...{ reason: null, message: null, agent: 'a1', exitCode: null, output: null, healthy: null },
  ...{ created: 0, started: 0, finished: null },
};
const FRAMEWORK = { id: 'f', roles: [], role: '*', state: 'active', tasks: 0, allocated: '', offered: '' };

/** What exec, logs and fetch say of a task, in one line each: `code: message | hint`. */
async function said(at: ScriptedShell, task: string): Promise<{ exec: string; logs: string; fetch: string }> {
  const line = async (...argv: string[]): Promise<string> => {
    const { code, stderr } = await at.mesq(...argv);
    return `${code}: ${stderr.trim().replace(/\n\s*/, ' | ')}`;
  };
  return {
    exec: await line('exec', task, '--', 'true'),
    logs: await line('logs', task),
    fetch: await line('fetch', task, 'out', '-o', '-'),
  };
}

async function submitted(at: ScriptedShell, ...argv: string[]): Promise<string> {
  return (await at.mesq('run', '--detach', ...argv, '--', 'true')).stdout.trim();
}

function all(t: ExecutionContext, answers: Awaited<ReturnType<typeof said>>, pattern: RegExp): void {
  for (const [verb, answer] of Object.entries(answers)) t.regex(answer, pattern, verb);
}

test('a task that ended cannot be entered: how it ended is said, and where what it left is', async (t) => {
  const views: Partial<TaskView>[] = [];
  const at = shell(
    (task) => task.update('TASK_FINISHED', { exitCode: 0 }),
    () => views,
  );
  const job = await submitted(at);
  await at.world.clock.advance(1_000);
  const finished = Date.UTC(2026, 0, 2, 3, 4, 5);
  views.push({ id: `${job}.0`, job, state: 'TASK_FINISHED', finished });
  const { exec, logs } = await said(at, job);
  t.is(
    exec,
    `125: error: task ${job}.0 does not run any more: it ended FINISHED at 2026-01-02T03:04:05.000Z | What it wrote: mesq logs ${job}.0; a file it left: mesq fetch ${job}.0 PATH.`,
  );
  t.regex(logs, /^3: error: the leader has no read/, 'of what an agent keeps, the agent knows best');
});

test('a task that waits is said to wait, and why is one command away', async (t) => {
  const at = shell(() => {});
  const waits = await submitted(at, '--cpus', '9');
  const { exec, ...reading } = await said(at, waits);
  t.is(exec, `125: error: task ${waits}.0 waits: it has not been placed yet | See mesq why ${waits}.`);
  for (const answer of Object.values(reading)) t.is(answer, exec.replace('125', '4'));
  await at.mesq('cancel', waits);
  await at.world.clock.advance(1_000);
  all(t, await said(at, waits), /error: task \w+\.0 never ran: it ended KILLED/);
});

test('a task that is placed and fetches is said to be there, with how far it is', async (t) => {
  const at = shell((task) => task.update('TASK_STARTING', { message: 'fetching x: 3 MB' }));
  const job = await submitted(at);
  await at.world.clock.advance(1_000);
  all(t, await said(at, job), /error: task \w+\.0 is on agent a1 and has not begun yet: fetching x: 3 MB \| Repeat/);
});

test('an index, an attempt and a framework that are not there are told apart', async (t) => {
  const views: Partial<TaskView>[] = [];
  const at = shell(
    (task) => task.update('TASK_RUNNING'),
    () => views,
  );
  const job = await submitted(at, '--count', '2');
  await at.world.clock.advance(1_000);
  for (const index of [0, 1])
    views.push(...[0, 1].map((attempt) => ({ id: `${job}.${index}`, job, index, attempt, ...END[attempt] })));
  all(t, await said(at, `${job}.2`), /error: job \w+ has 2 tasks, \w+\.0 to \w+\.1: there is no \w+\.2 \| See mesq ps/);
  all(t, await said(at, `${job}.1.7`), /error: task \w+\.1 has no attempt 7: its newest is 1 \| .* is meant: \w+\.1\./);
  const { exec, fetch } = await said(at, `${job}.1.0`);
  t.regex(
    exec,
    /error: attempt 0 of task \w+\.1 does not run any more: the newest is 1, RUNNING \| That one is meant by \w+\.1\./,
  );
  t.regex(fetch, /the leader has no read-file/);
  views.splice(0, 1);
  const { logs } = await said(at, `${job}.0.0`);
  t.regex(logs, /nothing is known any more of attempt 0 of task \w+\.0/);
  all(t, await said(at, 'sparc/x'), /error: there is no framework sparc \| Did you mean spark\/x\?/);
  all(t, await said(at, 'spark/x'), /the leader has no/);
});

const END: readonly Partial<TaskView>[] = [{ state: 'TASK_FAILED', finished: 0 }, { state: 'TASK_RUNNING' }];

test('a job that is not there: the one of that name, or of an id like it, is in the hint', async (t) => {
  const at = shell(() => {});
  const job = await submitted(at, '--name', 'train', '--cpus', '9');
  all(t, await said(at, 'train'), new RegExp(`error: there is no job train \\| That is a name; .* ids: ${job}\\.`));
  all(t, await said(at, `${job}x`), new RegExp(`Did you mean ${job}\\?`));
  all(t, await said(at, job.slice(0, -1)), new RegExp(`Did you mean ${job}\\?`));
  all(t, await said(at, 'zzz'), /mesq jobs lists those that are known still/);
  for (const verb of ['attach', 'wait', 'cancel', 'job', 'ps', 'why', 'kill']) {
    const { code, stderr } = await at.mesq(verb, 'train');
    t.is(code, verb === 'attach' || verb === 'wait' ? 125 : 3, verb);
    t.true(stderr.includes(`jobs go by their ids: ${job}.`), `${verb}: ${stderr}`);
  }
});

test('where a job is asked for, its only task is as good; one of several gets the command for it', async (t) => {
  const at = shell((task) => task.update('TASK_FINISHED', { exitCode: 0 }));
  const one = await submitted(at);
  const several = await submitted(at, '--count', '3');
  await at.world.clock.advance(1_000);
  for (const [verb, usage] of [
    ['attach', 125],
    ['wait', 125],
    ['cancel', 2],
  ] as const) {
    t.is((await at.mesq(verb, `${one}.0`)).code, 0, verb);
    const { code, stderr } = await at.mesq(verb, `${several}.1`);
    t.is(code, usage);
    t.regex(
      stderr,
      /error: (\w+)\.1 is one of the 3 tasks of job \1\n {2}mesq (attach|wait|cancel) \1 .*mesq (logs -f|kill) \1\.1 /,
    );
    t.regex((await at.mesq(verb, 'a b')).stderr, /"a b" is no job/);
    t.regex((await at.mesq(verb, `${several}.3`)).stderr, /has 3 tasks/);
  }
  t.is((await at.mesq('ps', `${several}.1`)).stdout.trim().split('\n').length, 2);
  t.is((await at.mesq('ps', 'a b')).code, 2);
});
