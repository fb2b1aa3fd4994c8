import { setFlagsFromString } from 'node:v8';

/** By then an agent has started, and found its work again. */
const STARTED_MS = 60_000;

/**
 * For a process that has little to do and much time, before it loads its program: while it starts V8 optimizes nothing,
 * and later only what is hot for long, so that an idle one never touches the pages of its optimizing compiler; and its
 * young generation does not grow. A version of V8 that does not know a flag ignores it.
 */
export function spareMemory(): void {
  setFlagsFromString('--no-opt');
  setFlagsFromString('--interrupt-budget=5000000');
  setFlagsFromString('--semi-space-growth-factor=1');
  setTimeout(() => setFlagsFromString('--opt'), STARTED_MS).unref();
}
