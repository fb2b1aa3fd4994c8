import test from 'ava';
import { TaskOutput } from '../../cli/task-output.ts';
import type { Sink } from '../../cli/terminal.ts';
import { Fault } from '../../protocol/faults.ts';
import type { TaskView } from '../../protocol/job.ts';
import type { Client, OutputPiece, ReadOutputOptions } from '../../sdk/index.ts';
import { VirtualClock } from '../sim/virtual-clock.ts';

const ID = 'k3v9x2ab.0';

function view(restart: number, state: TaskView['state'], over: Partial<TaskView> = {}): TaskView {
  return {
    ...{
      id: ID,
      framework: 'batch',
      job: 'k3v9x2ab',
      index: 0,
      attempt: 0,
      restart,
      state,
      reason: null,
      message: null,
    },
    ...{ agent: 'pi', exitCode: null, output: null, healthy: null, created: 0, started: 1, finished: null },
    ...over,
  };
}

/** An agent that keeps the standard output of these starts of the first attempt, and ends every stream at once. */
function watching(kept: readonly number[], restarts = true) {
  const asked: (number | undefined)[] = [];
  async function* read({ stream, restart }: ReadOutputOptions): AsyncGenerator<OutputPiece | Fault> {
    if (stream === 'stdout') asked.push(restart);
    await Promise.resolve();
    if (restart !== undefined && !kept.includes(restart)) yield new Fault('NOT_FOUND', 'this agent keeps no output');
    else {
      const bytes = new TextEncoder().encode(stream === 'stdout' ? `start ${restart ?? 'newest'}\n` : '');
      yield { offset: 0, bytes, dropped: 0, end: true };
    }
  }
  let written = '';
  const sink = (take: (text: string) => void): Sink => ({
    isTerminal: false,
    columns: 80,
    colours: false,
    write: (data) => {
      take(typeof data === 'string' ? data : new TextDecoder().decode(data));
      return Promise.resolve(true);
    },
  });
  const notes: string[] = [];
  const clock = new VirtualClock();
  const output = new TaskOutput({
    client: { readOutput: read } as unknown as Client,
    clock,
    restarts,
    out: sink((text) => {
      written += text;
    }),
    error: sink(() => undefined),
    note: (text) => notes.push(text),
    onUnread: () => undefined,
  });
  return { output, clock, notes, asked, written: () => written };
}

test('each start of a task is followed by its number, and shown in order', async (t) => {
  const { output, clock, notes, written } = watching([0, 1]);
  output.changed(view(0, 'TASK_STARTING'));
  output.changed(view(0, 'TASK_RUNNING'));
  clock.step();
  output.changed(view(0, 'TASK_STARTING', { message: 'exited with 1; restart 1 in 1 s' }));
  output.changed(view(1, 'TASK_RUNNING'));
  output.changed(view(1, 'TASK_FINISHED', { output: { stdout: 8, stderr: 0 } }));
  t.is(await output.complete(), undefined);
  t.is(written(), 'start 0\nstart 1\n');
  t.deepEqual(notes, []);
});

test('of starts between two looks the last is shown, and that others are not kept is said', async (t) => {
  const { output, clock, notes, asked, written } = watching([3, 4]);
  output.changed(view(0, 'TASK_RUNNING'));
  output.changed(view(4, 'TASK_RUNNING'));
  clock.step();
  output.changed(view(4, 'TASK_FINISHED', { output: { stdout: 8, stderr: 0 } }));
  t.is(await output.complete(), undefined, 'what is kept no more is nothing wrong');
  t.deepEqual(asked, [0, 3, 4]);
  t.is(written(), 'start 3\nstart 4\n');
  t.deepEqual(notes, [`restart 4 of task ${ID}: what starts 1 to 2 wrote is not kept`]);
});

test('a task without a restart policy is asked for its newest start', async (t) => {
  const { output, written, asked } = watching([], false);
  output.changed(view(0, 'TASK_FINISHED', { output: { stdout: 13, stderr: 0 } }));
  t.is(await output.complete(), undefined);
  t.deepEqual(asked, [undefined]);
  t.is(written(), 'start newest\n');
});
