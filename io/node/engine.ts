import { setFlagsFromString } from 'node:v8';

let spares = false;

/**
 * For a process that has little to do and much time, before it loads its program: V8 optimizes nothing until there is
 * work ({@link optimize}), and then only what is hot for long, so that an idle one never touches the pages of its
 * optimizing compiler; and its young generation does not grow. A version of V8 that does not know a flag ignores it.
 */
export function spareMemory(): void {
  setFlagsFromString('--no-opt');
  setFlagsFromString('--interrupt-budget=5000000');
  setFlagsFromString('--semi-space-growth-factor=1');
  spares = true;
}

/** From now on there is work: what is hot may be optimized. Changes nothing where nothing was spared. */
export function optimize(): void {
  if (!spares) return;
  spares = false;
  setFlagsFromString('--opt');
}
