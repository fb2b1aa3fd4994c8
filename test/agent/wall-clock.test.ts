import test from 'ava';
import type { TaskStatus } from '../../protocol/task.ts';
import { AgentWorld, program } from './world.ts';

const DAY_MS = 86_400_000;

/** One story, told by a wall clock that is ahead of the true one by `aheadMs` of each of its chapters. */
async function story(aheadMs: (chapter: number) => number): Promise<{ world: AgentWorld; told: unknown[] }> {
  const world = new AgentWorld(7);
  const chapter = async (number: number, ms: number): Promise<void> => {
    world.wallAheadMs = aheadMs(number);
    await world.clock.advance(ms);
  };
  world.wallAheadMs = aheadMs(0);
  await world.up();
  world.master.place('service', { argv: program({ stays: true }), restart: 'always' });
  world.master.place('fails', { argv: program({ code: 3, runMs: 100 }), restart: 'on-failure' });
  world.master.place('limited', { argv: program({ stays: true }), maxCompletionMs: 600_000 });
  world.master.place('graceful', { argv: program({ stays: true, ignoresTerm: true }), killGraceMs: 30_000 });
  world.master.place('lonely', {
    argv: program({ stays: true }),
    restart: 'always',
    disconnect: { stopOnClientAfterMs: 900_000 },
  });
  await chapter(1, 60_000);
  world.master.kill('graceful');
  await chapter(2, 10_000);
  world.kill();
  await world.up();
  await chapter(3, 300_000);
  // Rebooted, and no master answers: what the policy says goes on from what the disk holds.
  world.master.answering = false;
  world.cutPower();
  await chapter(4, 1_000);
  await world.start();
  await chapter(5, 600_000);
  await chapter(6, 1_200_000);
  world.master.answering = true;
  world.cut();
  await chapter(7, 600_000);
  const told = [...world.master.placed.values()].flatMap(({ updates }) => updates.map(withoutWall));
  return { world, told };
}

function withoutWall({ at, ...status }: TaskStatus): unknown {
  return { ...status, at: at === undefined ? undefined : { ...at, wallMs: undefined } };
}

test('a wall clock that stands in 1970, jumps ahead by years or goes back changes nothing but what is written of it', async (t) => {
  const right = await story(() => 0);
  const now = right.world.clock.wall();
  t.true(right.told.length > 12, 'there is something to tell');
  for (const [title, ahead] of [
    ['in 1970', () => -now],
    ['set in the middle', (chapter: number) => (chapter < 3 ? -now : 0)],
    ['back to 1970 at each reboot', (chapter: number) => (chapter % 2 === 0 ? 0 : -now)],
    ['ten years on', (chapter: number) => chapter * 3_650 * DAY_MS],
    ['day by day back', (chapter: number) => -chapter * DAY_MS],
  ] as const) {
    const other = await story(ahead);
    t.deepEqual(other.told, right.told, title);
    t.deepEqual(other.world.started, right.world.started, title);
    t.deepEqual(other.world.faults, [], title);
  }
});

test('a time before any clock could be set is told as unknown', async (t) => {
  const { world } = await story(() => -4_000_000_000_000);
  const times = [...world.master.placed.values()].flatMap(({ updates }) => updates.map(({ at }) => at?.wallMs));
  t.deepEqual(new Set(times), new Set([null]));
});
