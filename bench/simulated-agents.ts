import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Client, Fault } from '../sdk/index.ts';
import { connectClient } from '../tools/cluster.ts';
import { processorMs, pssOf } from './process-memory.ts';
import { benchFolder, startMasterPart } from './real-cluster.ts';
import type { Measured } from './report.ts';

const ROUNDS = 5;
const STATE = 'mesq/state/agents/';

/** `count` agents of one load process register with a real master and report; what the master shows must be true. */
export async function measureSimulatedAgents(parent: string, count: number): Promise<Measured[]> {
  const folder = benchFolder(parent);
  const master = await startMasterPart(folder.path);
  const { client, bus, close } = await connectClient(master.url, 'bench');
  const shown = new Map<string, string>();
  await bus.subscribe(`${STATE}#`, 0, ({ topic, payload }) => {
    const name = topic.slice(STATE.length);
    if (!name.includes('/')) shown.set(name, new TextDecoder().decode(payload));
  });
  await pause(2_000);
  const alone = pssOf([master.pid]);

  const begin = performance.now();
  const script = fileURLToPath(new URL('./simulated-agents-process.js', import.meta.url));
  const load = spawn(process.execPath, [script, master.url, String(count)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = lines(load);
  await said('registered');
  const registeredMs = performance.now() - begin;
  await pause(2_000);
  const idle = pssOf([master.pid]);

  const cpu = processorMs(master.pid);
  const reporting = performance.now();
  load.stdin.write(`report ${ROUNDS}\n`);
  const [, mem = ''] = (await said('reported')).split(' ');
  const reportedMs = performance.now() - reporting;
  // What waits to be committed and shown counts, too.
  const right = await shownEverywhere(client, shown, count, mem);
  const perReport = (processorMs(master.pid) - cpu) / (count * ROUNDS);

  load.kill('SIGKILL');
  await close();
  await master.stop();
  folder.remove();
  const told = (what: string, value: string, beside = ''): Measured => ({
    what,
    value,
    beside,
    target: undefined,
    met: undefined,
  });
  return [
    {
      what: `${count} agents: all shown, active and with what they reported last`,
      value: `API ${right.api}, state tree ${right.tree}`,
      beside: '',
      target: `${count}`,
      met: right.api === count && right.tree === count,
    },
    told(`${count} agents: from starting the load process to all registered`, `${(registeredMs / 1_000).toFixed(1)} s`),
    told(
      'memory of the master an agent (PSS)',
      `${((idle - alone) / count).toFixed(1)} kB`,
      `${(alone / 1_024).toFixed(0)} MB → ${(idle / 1_024).toFixed(0)} MB`,
    ),
    told(
      'processor time of the master a report (committed, offered anew, shown)',
      `${perReport.toFixed(2)} ms`,
      `${count * ROUNDS} reports in ${(reportedMs / 1_000).toFixed(1)} s`,
    ),
  ];
}

/** How many the API and the retained tree show right, once they do or 30 s have passed. */
async function shownEverywhere(
  client: Client,
  shown: ReadonlyMap<string, string>,
  count: number,
  mem: string,
): Promise<{ api: number; tree: number }> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const answer = await client.request('agents', {}, { timeoutMs: 30_000 });
    if (answer instanceof Fault) throw answer;
    const reported = `mem:${mem};`;
    const api = answer.agents.filter(
      ({ state, resources }) => state === 'active' && resources.total.includes(reported),
    );
    const tree = [...shown.values()].filter((text) => text.includes('"active"') && text.includes(reported));
    if ((api.length === count && tree.length === count) || performance.now() > deadline)
      return { api: api.length, tree: tree.length };
    await pause(200);
  }
}

/** Waits for the next line that begins with a word. */
function lines(child: ChildProcess): (word: string) => Promise<string> {
  const heard: string[] = [];
  let wake = (): void => undefined;
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      heard.push(line);
      wake();
    });
  const ended = new Promise<never>((_, reject) =>
    child.once('exit', (code) => reject(new Error(`the load process ended with ${code}`))),
  );
  ended.catch(() => undefined);
  return async (word) => {
    for (;;) {
      const line = heard.shift();
      if (line?.startsWith(word) === true) return line;
      if (line === undefined)
        await Promise.race([
          ended,
          new Promise<void>((resolve) => {
            wake = resolve;
          }),
        ]);
    }
  };
}
