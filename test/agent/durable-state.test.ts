import test from 'ava';
import { hasEnded } from '../../agent/checkpoint/state.ts';
import { DurableState } from '../../agent/durable-state.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { VirtualClock } from '../sim/clock.ts';
import { SimulatedDisk } from '../sim/storage.ts';

async function open(disk: SimulatedDisk): Promise<DurableState> {
  const storage = disk.storage();
  const opened = await DurableState.open({
    storage,
    clock: new VirtualClock(),
    onFailed: (error) => assert(false, String(error)),
  });
  assert(!(opened instanceof Fault), 'the journal can be read');
  return opened;
}

const info = (index: number) => ({
  task: `job.${index}`,
  attempt: 0,
  argv: ['/bin/sh', '-c', 'x'.repeat(2_000)],
  environment: {},
  resources: [],
  restart: 'never' as const,
  killGraceMs: 3_000,
});

test('nothing that was promised is missing from a snapshot, however the appends fall together', async (t) => {
  const disk = new SimulatedDisk();
  const before = await open(disk);
  const snapshots = new Set<string>();
  let promised = 0;
  for (let round = 0; round < 60; round++) {
    // Several at once share one write and sync: the first to hear of it must not leave the others out.
    await Promise.all(
      Array.from({ length: 3 }, async () => {
        const accepted = Array.from({ length: 20 }, () => info(promised++));
        await before.promise(accepted.map((each) => ({ kind: 'ACCEPTED', framework: 'batch', info: each, epoch: 5 })));
      }),
    );
    for (const path of disk.paths()) if (path.includes('snapshot')) snapshots.add(path);
  }
  t.is(before.state.runs.size, promised);
  t.true(snapshots.size > 0, 'too little was promised for a snapshot');
  await before.close();
  disk.kill();
  const after = await open(disk);
  t.is(after.state.runs.size, promised);
  t.false([...after.state.runs.values()].some(hasEnded));
});
