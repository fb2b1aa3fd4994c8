import test from 'ava';
import { OutputCuts } from '../../agent/output-cuts.ts';
import type { OutputFile } from '../../io/output-file.ts';
import { VirtualClock } from '../sim/clock.ts';

test('an output that takes for ever is cut once at a time, and holds up no other', async (t) => {
  const clock = new VirtualClock();
  const cut: string[] = [];
  const output = (folder: string, stream: string): OutputFile => ({
    size: () => Promise.resolve(0),
    read: () => Promise.resolve(undefined),
    watch: () => () => undefined,
    cut: () => {
      cut.push(`${folder} ${stream}`);
      return folder === 'slow' && stream === 'stdout' ? new Promise(() => undefined) : Promise.resolve(false);
    },
  });
  const folders = ['slow', ...Array.from({ length: 20 }, (_, at) => `quick${at}`)];
  const log = { debug: t.log, info: t.log, warn: t.log, error: t.log };
  const cuts = new OutputCuts({ clock, log, output, running: () => folders });
  cuts.wake();
  await clock.advance(5_500);
  for (const folder of folders)
    for (const stream of ['stdout', 'stderr'])
      t.is(cut.filter((each) => each === `${folder} ${stream}`).length, folder === 'slow' ? 1 : 5, folder);
  cuts.stop();
  await clock.advance(5_000);
  t.is(cut.length, 2 + 5 * 40);
});
