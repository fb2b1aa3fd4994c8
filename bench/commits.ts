import { type Client, Fault } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { benchFolder } from './real-cluster.ts';
import type { Measured } from './report.ts';
import { Masters } from './three-masters.ts';

const SECONDS = 5;

/** Commands of the registry through a client, each committed by three masters with fsync: one at a time, and 64 at once. */
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
    rows.push({
      what: `registry commands through a client, ${atOnce} at once, three masters, fsync`,
      value: `${(done / SECONDS).toFixed(0)}/s`,
      beside: `${bytes.toFixed(0)} bytes a command in each log`,
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
