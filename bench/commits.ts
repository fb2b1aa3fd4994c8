import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, Fault } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { benchFolder } from './real-cluster.ts';
import type { Measured } from './report.ts';
import { Masters } from './three-masters.ts';

const SECONDS = 5;
const FLOOR_SECONDS = 2;

/**
 * Commands of the registry through a client, each committed by three masters with fsync: one at a time, and 64
 * at once, beside a bare loop that appends as much and syncs.
 */
export async function measureCommits(parent: string): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const masters = new Masters(folder.path);
  await masters.start();
  const { client, close } = await connectClient(masters.url, 'bench');
  await setWeight(client, 1);
  const rows: Measured[] = [];
  for (const atOnce of [1, 64]) {
    const [before = 0] = masters.logBytes();
    const until = performance.now() + SECONDS * 1_000;
    let done = 0;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (performance.now() < until) await setWeight(client, ++done);
      }),
    );
    const [after = 0] = masters.logBytes();
    const bytes = (after - before) / done;
    const floor = atOnce * appendRate(folder.path, Math.ceil(bytes) * atOnce);
    rows.push({
      what: `registry commands through a client, ${atOnce} at once, three masters, fsync`,
      value: `${(done / SECONDS).toFixed(0)}/s`,
      beside: `${bytes.toFixed(0)} bytes a command in each log; ${atOnce} of that size appended with one fdatasync ${floor.toFixed(0)}/s`,
      target: undefined,
      met: undefined,
    });
  }
  await close();
  await masters.stop();
  folder.remove();
  return rows;
}

async function setWeight(client: Client, weight: number): Promise<void> {
  const answer = await client.request('weight-set', { role: 'bench', weight }, { timeoutMs: 30_000 });
  if (answer instanceof Fault) throw new Error(answer.message);
}

/** How often a second so many bytes can be appended to a file and synced: what a log costs by itself. */
function appendRate(folder: string, bytes: number): number {
  const file = openSync(join(folder, 'floor'), 'w');
  const piece = new Uint8Array(bytes).fill(1);
  const until = performance.now() + FLOOR_SECONDS * 1_000;
  let done = 0;
  for (; performance.now() < until; done++) {
    writeSync(file, piece);
    fdatasyncSync(file);
  }
  closeSync(file);
  return done / FLOOR_SECONDS;
}
