import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connectScheduler } from '../sdk/node.ts';
import { benchFolder, endLauncher, spawnAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const AGENTS = 15;
const OFFER_MS = 1_000;
/** Longer than the whole measurement: what was seen once is not offered again. */
const REFUSE_MS = 3_600_000;

/** From the spawn of `mesq agent` with an empty data folder until a framework holds an offer of it, one agent at a time. */
export async function measureAgentStart(parent: string): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const offered = new Map<string, () => void>();
  const driver = connectScheduler({
    url: master.url,
    name: 'bench',
    roles: ['*'],
    scheduler: {
      registered: () => undefined,
      reregistered: () => undefined,
      statusUpdate: () => undefined,
      resourceOffers: (asked, offers) => {
        for (const { offer, name } of offers) {
          offered.get(name)?.();
          asked.declineOffer(offer, { refuseMs: REFUSE_MS });
        }
      },
    },
  });
  driver.start();
  const times: number[] = [];
  const bare: number[] = [];
  for (let count = 0; count < AGENTS; count++) {
    const name = `a${count}`;
    const seen = new Promise<void>((resolve) => offered.set(name, resolve));
    const begin = performance.now();
    const agent = spawnAgentPart(folder.path, name, master.url, 'cpus:4;mem:4096');
    await seen;
    times.push(performance.now() - begin);
    await agent.stop();
    await endLauncher(agent);
    const empty = performance.now();
    await promisify(execFile)(process.execPath, ['-e', '0']);
    bare.push(performance.now() - empty);
  }
  driver.stop();
  await master.stop();
  folder.remove();
  const middle = quantile(times, 0.5);
  return [
    {
      what: `spawn of \`mesq agent\`, new → a framework holds an offer of it, median of ${AGENTS}`,
      value: `${middle.toFixed(0)} ms`,
      beside: `most ${Math.max(...times).toFixed(0)} ms; node -e 0: ${quantile(bare, 0.5).toFixed(0)} ms`,
      target: `< ${OFFER_MS} ms`,
      met: middle < OFFER_MS,
    },
  ];
}
