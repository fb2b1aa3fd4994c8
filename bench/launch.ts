import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { attachLauncher } from '../io/node/launcher.ts';
import { Fault, type Offer, parseResources, type SchedulerDriver, type StatusEvent } from '../sdk/index.ts';
import { connectScheduler } from '../sdk/node.ts';
import { momentIn, startedAndEnded, wallMs } from './bash-moments.ts';
import { benchFolder, endLauncher, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const TASKS = 100;
const WARM = 30;
const START_MS = 10;
/** As of a job's task. */
const LIMITS = { cpuShare: 100, processes: 4_096 };

/**
 * From a framework's LAUNCH until the task's first instruction, by its own word: a commit of the master, one of the agent,
 * the launcher. Beside the launcher alone and a bare spawn of the same program.
 */
export async function measureLaunch(parent: string): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const agent = await startAgentPart(folder.path, 'a1', master.url, 'cpus:4;mem:4096');
  const framework = new OneByOne(master.url);
  const launched: number[] = [];
  for (let count = 0; count < WARM + TASKS; count++) {
    const file = join(folder.path, `task${count}`);
    const begin = await framework.run(`t${count}`, startedAndEnded(file));
    if (count >= WARM) launched.push((await momentIn(`${file}.started`)) - begin);
  }
  framework.stop();
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  const launcher = await launcherStarts(join(folder.path, 'bare'));
  const spawned: number[] = [];
  for (let count = 0; count < TASKS; count++) {
    const file = join(folder.path, `spawn${count}`);
    const [program = '', ...argv] = startedAndEnded(file);
    const begin = wallMs();
    await once(spawn(program, argv, { stdio: 'ignore', detached: true }), 'exit');
    spawned.push((await momentIn(`${file}.started`)) - begin);
  }
  folder.remove();
  const middle = quantile(launched, 0.5);
  return [
    {
      what: `LAUNCH of a framework → the task's first instruction, p50 of ${TASKS}`,
      value: `${middle.toFixed(1)} ms`,
      beside: `p90 ${quantile(launched, 0.9).toFixed(1)} ms; the launcher alone p50 ${quantile(launcher, 0.5).toFixed(1)} ms, spawn ${quantile(spawned, 0.5).toFixed(1)} ms`,
      target: `< ${START_MS} ms`,
      met: middle < START_MS,
    },
  ];
}

/** A framework with one task at a time. */
class OneByOne {
  readonly #driver: SchedulerDriver;
  #offer: Offer | undefined;
  #next: ((offer: Offer) => void) | undefined;
  #ended: ((status: StatusEvent) => void) | undefined;

  constructor(url: string) {
    this.#driver = connectScheduler({
      url,
      name: 'bench',
      roles: ['*'],
      scheduler: {
        registered: () => undefined,
        reregistered: () => undefined,
        resourceOffers: (_, [offer]) => {
          this.#offer = offer;
          if (offer !== undefined) this.#next?.(offer);
        },
        offerRescinded: () => {
          this.#offer = undefined;
        },
        statusUpdate: (_, status) => {
          if (status.state === 'TASK_FINISHED') this.#ended?.(status);
          else if (status.state !== 'TASK_RUNNING' && status.state !== 'TASK_STARTING')
            throw new Error(`${status.task}: ${status.state} ${status.reason}`);
        },
      },
    });
    this.#driver.start();
  }

  /** When the launch was sent, wall clock; resolves when the task has ended. */
  async run(task: string, argv: string[]): Promise<number> {
    const offer = this.#offer ?? (await new Promise<Offer>((resolve) => (this.#next = resolve)));
    this.#offer = undefined;
    this.#next = undefined;
    const ended = new Promise<StatusEvent>((resolve) => (this.#ended = resolve));
    const resources = parseResources('cpus:0.1;mem:32');
    if (resources instanceof Fault) throw resources;
    const begin = wallMs();
    this.#driver.launchTasks([offer.offer], [{ task, attempt: 0, argv, resources: [...resources] }], { refuseMs: 0 });
    await ended;
    return begin;
  }

  stop(): void {
    this.#driver.stop();
  }
}

async function launcherStarts(folder: string): Promise<number[]> {
  const launcher = await attachLauncher({ root: folder, folder: join(folder, 'launcher'), cgroups: 'bench' });
  let ended = (): void => undefined;
  launcher.onExit(() => ended());
  const times: number[] = [];
  for (let count = 0; count < TASKS; count++) {
    const file = join(folder, `moment${count}`);
    const exit = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const begin = wallMs();
    await launcher.launch({ folder: `t${count}`, argv: startedAndEnded(file), environment: {}, limits: LIMITS });
    await exit;
    times.push((await momentIn(`${file}.started`)) - begin);
    await launcher.sweep(`t${count}`);
  }
  await launcher.stop();
  return times;
}
