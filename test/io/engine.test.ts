import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';

/** V8 11.3, src/runtime/runtime.h OptimizationStatus::kTurboFanned. */
const TURBOFANNED = 64;
const PROGRAM = `
const { spareMemory, optimize } = await import(process.argv[1]);
const { spared, worked } = JSON.parse(process.argv[2]);
if (spared) spareMemory();
const hot = (until) => { let sum = 0; for (let at = 0; at < until; at++) sum = (sum + at * at) % 1001; return sum; };
const isOptimized = () => (%GetOptimizationStatus(hot) & ${TURBOFANNED}) !== 0;
if (worked) optimize();
for (let call = 0; call < 3000 && !isOptimized(); call++) { hot(10_000); if (call % 100 === 0) await new Promise(setImmediate); }
console.log(isOptimized());
`;

async function optimized(about: { spared: boolean; worked: boolean }): Promise<string> {
  const engine = new URL('../../io/node/engine.js', import.meta.url).href;
  const argv = ['--allow-natives-syntax', '--input-type=module', '-e', PROGRAM, engine, JSON.stringify(about)];
  return (await promisify(execFile)(process.execPath, argv)).stdout.trim();
}

test('an agent without work optimizes nothing, however hot', async (t) => {
  t.is(await optimized({ spared: true, worked: false }), 'false');
});

test('one with work optimizes what is hot, as does who spares nothing', async (t) => {
  t.is(await optimized({ spared: true, worked: true }), 'true');
  t.is(await optimized({ spared: false, worked: true }), 'true');
});
