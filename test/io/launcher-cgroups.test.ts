import test from 'ava';
import { cgroupConformance } from '../conformance/launcher.ts';
import { simulatedLauncherWorld } from '../sim/launcher-world.ts';
import { cgroupScenes, hasCgroups } from './cgroup-scenes.ts';
import { type RealLauncherWorld, realLauncherWorld } from './launcher-world.ts';

/** This machine's own control groups, of either version; a guest with its own kernel runs this file for the other. */
const world = (): Promise<RealLauncherWorld> => realLauncherWorld({ cgroups: 'test' });

const found = await (async () => {
  const tried = await world();
  try {
    return (await tried.attach()).isolation;
  } finally {
    await tried.end();
  }
})();
const usable = hasCgroups(found);
if (!usable && process.env['CI'] === 'true') throw new Error(`no control groups here: ${found.notes.join('; ')}`);
if (!usable) console.warn(`SKIPPED: tests of real control groups (${found.notes.join('; ')})`);

cgroupConformance(test.serial, 'simulated', simulatedLauncherWorld);
if (usable && found.cgroups !== 'none') {
  cgroupConformance(test.serial, found.cgroups, world);
  cgroupScenes(test.serial, found.cgroups, world);
}
