/**
 * Plays the scenes of control groups on the kernel it runs on, without AVA and without processes of agents: for a guest
 * as slow as a small board. Prints `ok TITLE` or `not ok TITLE: why` for each, and `end N` when all N are over.
 */
import assert from 'node:assert/strict';
import { attachLauncher } from '../../io/node/launcher.ts';
import { type Asserts, cgroupConformance, type Register } from '../conformance/launcher.ts';
import { cgroupScenes, hasCgroups } from './cgroup-scenes.ts';
import { machineWorld } from './launcher-world.ts';

const asserts = {
  is: (actual: unknown, expected: unknown) => assert.equal(actual, expected),
  true: (actual: unknown) => assert.equal(actual, true),
  false: (actual: unknown) => assert.equal(actual, false),
  deepEqual: (actual: unknown, expected: unknown) => assert.deepEqual(actual, expected),
  like: (actual: object, expected: object) => {
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(Reflect.get(actual, name), value, name);
  },
} as unknown as Asserts;

const world = () =>
  machineWorld(async (root) => {
    const launcher = await attachLauncher({ root, folder: `${root}/launcher`, cgroups: 'test' });
    return { launcher, kill: () => launcher.close() };
  });

const tests: { title: string; act: (t: Asserts) => Promise<void> }[] = [];
const register: Register = (title, act) => tests.push({ title, act });

const first = await world();
const { isolation } = await first.attach();
await first.end();
console.log(`has ${JSON.stringify(isolation)}`);
if (hasCgroups(isolation) && isolation.cgroups !== 'none') {
  cgroupConformance(register, isolation.cgroups, world);
  cgroupScenes(register, isolation.cgroups, world);
}
for (const { title, act } of tests) {
  try {
    await act(asserts);
    console.log(`ok ${title}`);
  } catch (error) {
    console.log(`not ok ${title}: ${String(error).replaceAll('\n', ' ')}`);
  }
}
console.log(`end ${tests.length}`);
process.exit();
