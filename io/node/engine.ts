import { setFlagsFromString } from 'node:v8';

/** How long something has to be hot: 38 times what V8 takes by itself. 12.0 counts calls where 11 had a budget in bytes. */
const PATIENCE =
  Number.parseInt(process.versions.v8, 10) < 12
    ? '--interrupt-budget=5000000'
    : '--invocation-count-for-turbofan=114000';

let spares = false;

/**
 * For a process that has little to do and much time, before it loads its program: V8 optimizes nothing until there is
 * work ({@link optimize}), and then only what is hot for long, so that an idle one never touches the pages of its
 * optimizing compiler; and its young generation does not grow. V8 ignores a flag that it does not know, and says so on standard error.
 */
export function spareMemory(): void {
  setFlagsFromString('--no-opt');
  setFlagsFromString(PATIENCE);
  setFlagsFromString('--semi-space-growth-factor=1');
  spares = true;
}

/** From now on there is work: what is hot may be optimized. Changes nothing where nothing was spared. */
export function optimize(): void {
  if (!spares) return;
  spares = false;
  setFlagsFromString('--opt');
}
