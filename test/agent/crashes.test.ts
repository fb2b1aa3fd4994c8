import test from 'ava';
import fc from 'fast-check';
import type { RestartPolicy } from '../../protocol/task.ts';
import type { ScriptedMaster } from './scripted-master.ts';
import { AgentWorld, program } from './world.ts';

interface Story {
  readonly seed: number;
  /** The disk steps after which the agent dies, each counted from its last start. */
  readonly deaths: readonly { readonly step: number; readonly power: boolean }[];
  readonly tasks: readonly { readonly restart: RestartPolicy; readonly runMs: number; readonly kill: boolean }[];
}

const stories: fc.Arbitrary<Story> = fc.record({
  seed: fc.nat(),
  deaths: fc.array(fc.record({ step: fc.integer({ min: 1, max: 40 }), power: fc.boolean() }), { maxLength: 4 }),
  tasks: fc.array(
    fc.record({
      restart: fc.constantFrom<RestartPolicy[]>('never', 'on-failure', 'always'),
      runMs: fc.constantFrom(1, 50, 5_000, 100_000),
      kill: fc.boolean(),
    }),
    { minLength: 1, maxLength: 4 },
  ),
});

/** Ends the agent's process at the next death of the story, whenever its disk comes to that step. */
function arm(world: AgentWorld, story: Story, count: { deaths: number }): void {
  const death = story.deaths[count.deaths];
  if (death === undefined) return;
  world.disk.crashAt = world.disk.steps + death.step;
  world.onDeath = () => {
    count.deaths++;
    world.disk.crashAt = Number.POSITIVE_INFINITY;
    world.clock.after(0, () => (death.power ? world.cutPower() : world.kill()));
    world.clock.after(1_000, () => {
      arm(world, story, count);
      void world.start();
    });
  };
}

async function live(story: Story): Promise<AgentWorld> {
  const world = new AgentWorld(story.seed);
  arm(world, story, { deaths: 0 });
  void world.start();
  await world.until(() => world.master.epoch > 0, 600_000);
  story.tasks.forEach(({ restart, runMs }, index) => {
    world.master.place(`t${index}`, { argv: program({ runMs, code: index % 2 }), restart, killGraceMs: 100 });
  });
  await world.clock.advance(20_000);
  story.tasks.forEach(({ kill, restart }, index) => {
    if ((kill || restart !== 'never') && !world.master.ended(`t${index}`)) world.master.kill(`t${index}`);
  });
  await world.until(() => story.tasks.every((_task, index) => world.master.ended(`t${index}`)), 7_200_000);
  await world.clock.advance(60_000);
  return world;
}

/** In order, each number once: what the master took is what the agent told. */
function isInOrder(master: ScriptedMaster, task: string): boolean {
  return master.placed.get(`${task}.0`)?.updates.every(({ sequence }, index) => sequence === index + 1) ?? false;
}

test('whenever the agent dies or power fails, every task ends, is told in order, and never starts twice', async (t) => {
  await fc.assert(
    fc.asyncProperty(stories, async (story) => {
      const world = await live(story);
      story.tasks.forEach(({ restart }, index) => {
        const task = `t${index}`;
        if (!isInOrder(world.master, task)) throw new Error(`${task} was told out of order`);
        const starts = world.started.filter((folder) => folder.startsWith(`batch/${task}.0/`));
        if (restart === 'never' && starts.length > 1) throw new Error(`${task} started ${starts.join(', ')}`);
        if (new Set(starts).size !== starts.length) throw new Error(`one number started twice: ${starts.join(', ')}`);
      });
      if (world.faults.length > 0) throw new Error(`the agent gave up: ${world.faults[0]?.message}`);
    }),
    { numRuns: 60 },
  );
  t.pass();
});

test('a crash at every single step of the disk, from the first start to the end of a task', async (t) => {
  let steps = 0;
  for (let step = 1; step <= 60; step++) {
    for (const power of [false, true]) {
      const story: Story = {
        seed: step,
        deaths: [{ step, power }],
        tasks: [
          { restart: 'never', runMs: 1_000, kill: false },
          { restart: 'on-failure', runMs: 10, kill: true },
        ],
      };
      const world = await live(story);
      steps = Math.max(steps, world.disk.steps);
      const starts = world.started.filter((folder) => folder.startsWith('batch/t0.0/')).length;
      const rebooted = world.master.last('t0')?.reason === 'AGENT_REBOOTED';
      t.true(starts === 1 || (starts === 0 && rebooted), `step ${step}: ${starts} starts`);
    }
  }
  t.true(steps > 20);
});
