import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { attachLauncher } from '../io/node/launcher.ts';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { type Client, Fault, parseResources } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { benchFolder, endLauncher, MESQ, startAgentPart, startMasterPart } from './real-cluster.ts';
import { type Measured, quantile } from './report.ts';

const run = promisify(execFile);
const TASKS = 150;
const TASK_MS = 15;
const COMMANDS = 21;
const COMMAND_MS = 150;

/**
 * One task at a time, from the request to the word FINISHED, over a connection that is open; and `mesq run -- true` as a
 * person types it, beside `node -e 0`, turn by turn.
 */
export async function measureTaskLatency(parent: string): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const agent = await startAgentPart(folder.path, 'a1', master.url, 'cpus:4;mem:4096');
  const { client, close } = await connectClient(master.url, 'bench');
  for (let warm = 0; warm < 50; warm++) await oneTask(client);
  const tasks: number[] = [];
  for (let count = 0; count < TASKS; count++) tasks.push(await oneTask(client));
  await close();
  const starts = await launcherLatency(join(folder.path, 'bare'));
  const commands: number[] = [];
  const bare: number[] = [];
  for (let count = 0; count < COMMANDS; count++) {
    commands.push(await timed([MESQ, 'run', '--quiet', '--url', master.url, '--', 'true']));
    bare.push(await timed(['-e', '0']));
  }
  await agent.stop();
  await endLauncher(agent);
  await master.stop();
  folder.remove();
  const middle = quantile(tasks, 0.5);
  const above = quantile(commands, 0.5) - quantile(bare, 0.5);
  return [
    {
      what: `one task through the API, submit → FINISHED, p50 of ${TASKS}`,
      value: `${middle.toFixed(1)} ms`,
      beside: `p99 ${quantile(tasks, 0.99).toFixed(1)} ms; over the launcher alone p50 ${quantile(starts, 0.5).toFixed(1)} ms`,
      target: `≤ ${TASK_MS} ms`,
      met: middle <= TASK_MS,
    },
    {
      what: `\`mesq run -- true\` as a command, median of ${COMMANDS}, above \`node -e 0\``,
      value: `${above.toFixed(0)} ms`,
      beside: `${quantile(commands, 0.5).toFixed(0)} ms; node -e 0: ${quantile(bare, 0.5).toFixed(0)} ms`,
      target: `≤ ${COMMAND_MS} ms`,
      met: above <= COMMAND_MS,
    },
  ];
}

/** Milliseconds from the call to the notice of the exit, one start at a time: what no scheduler can go below. */
async function launcherLatency(folder: string): Promise<number[]> {
  await mkdir(folder, { recursive: true });
  const launcher = await attachLauncher({ root: folder, folder: join(folder, 'launcher') });
  let ended = (): void => undefined;
  launcher.onExit(() => ended());
  const times: number[] = [];
  for (let count = 0; count < TASKS; count++) {
    const begin = performance.now();
    const exit = new Promise<void>((resolve) => {
      ended = resolve;
    });
    await launcher.launch({ folder: `t${count}`, argv: ['/bin/true'], environment: {} });
    await exit;
    times.push(performance.now() - begin);
  }
  await launcher.stop();
  return times;
}

/** Milliseconds from the request to the part that says FINISHED. */
async function oneTask(client: Client): Promise<number> {
  const needs = parseResources('cpus:0.1;mem:32');
  if (needs instanceof Fault) throw needs;
  const job = `l${randomWord(systemRandom, 8)}`;
  const begin = performance.now();
  const submitted = await client.request(
    'submit',
    { job, argv: ['/bin/true'], resources: [...needs] },
    { framework: 'batch' },
  );
  if (submitted instanceof Fault) throw submitted;
  for await (const part of client.watch(job, { framework: 'batch' })) {
    if (part instanceof Fault) throw part;
    if (part.job.tasks.finished === 1) return performance.now() - begin;
  }
  throw new Error(`job ${job} ended without a finished task`);
}

async function timed(argv: readonly string[]): Promise<number> {
  const begin = performance.now();
  await run(process.execPath, argv);
  return performance.now() - begin;
}
