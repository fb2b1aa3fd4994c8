import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AGENT_DOWN, AGENT_UP, BULK, PRESENCE } from '../../protocol/agent-link.ts';
import { check, read } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import type { AgentView } from '../../protocol/operator.ts';
import { LeaderDocument } from '../../protocol/topics.ts';
import { Cluster, eventually, type Running, start } from '../e2e/cluster.ts';

const LAMP = 'examples/microcontroller/agent.mjs';

function lamp(t: ExecutionContext, cluster: Cluster, credentials = 'lamp'): Running {
  const device = start(process.execPath, [LAMP, cluster.url, credentials, join(cluster.folder, 'flash.json')]);
  t.teardown(() => device.end('SIGKILL'));
  return device;
}

async function agentNamed(cluster: Cluster, name: string): Promise<AgentView | undefined> {
  const client = await cluster.client();
  const answer = await client.request('agents', {});
  return 'agents' in answer ? answer.agents.find((agent) => agent.name === name) : undefined;
}

/** Its epoch, once it is connected. */
function epochOf(cluster: Cluster, name: string, not = -1): Promise<number> {
  return eventually(async () => {
    const agent = await agentNamed(cluster, name);
    return agent?.state === 'active' && agent.epoch !== not ? agent.epoch : undefined;
  });
}

test('is under 100 lines, and uses nothing of ours', async (t) => {
  const text = await readFile(LAMP, 'utf8');
  t.true(text.split('\n').length <= 100);
  t.deepEqual([...text.matchAll(/from '([^']+)'/g)].map(([, from]) => from).sort(), ['mqtt', 'node:fs']);
});

test('every message on the page is one', async (t) => {
  const page = await readFile('docs/microcontrollers.md', 'utf8');
  const lines = [...page.matchAll(/```jsonl\n([^`]*)```/g)].flatMap(([, block = '']) => block.trim().split('\n'));
  t.true(lines.length >= 17);
  for (const line of lines) {
    const bytes = new TextEncoder().encode(line);
    const taken = [AGENT_UP, AGENT_DOWN, BULK, PRESENCE].map((table) => read(table, bytes));
    const known = taken.some((one) => !(one instanceof Fault));
    t.true(known || !(check(LeaderDocument, JSON.parse(line)) instanceof Fault), line);
  }
});

test('a microcontroller runs tasks, tells their states, output and end, and can be told to stop', async (t) => {
  const cluster = await Cluster.start(t, { a1: {} });
  lamp(t, cluster);
  await epochOf(cluster, 'lamp');
  t.regex((await cluster.mesq('agents')).stdout, /lamp/);

  const on = await cluster.mesq('run', '--constraint', 'agent==lamp', '--', 'set', 'on');
  t.is(on.code, 0, on.stderr);
  t.is(on.stdout, 'the lamp is on\n');

  const unknown = await cluster.mesq('run', '--constraint', 'board==lamp', '--', 'explode', 'now');
  t.is(unknown.code, 127);

  const job = await cluster.submit('--constraint', 'agent==lamp', '--', 'blink', '3600');
  const running = await cluster.task(job, 'TASK_RUNNING');
  t.is(running.message, 'blink 3600');
  t.is(running.agent, 'lamp');
  t.is((await cluster.mesq('kill', running.id)).code, 0);
  t.is((await cluster.task(job, 'TASK_KILLED')).reason, 'KILLED_BY_REQUEST');
});

test('it keeps its session over broken links and dead masters, and what it runs', async (t) => {
  const cluster = await Cluster.start(t, {});
  const device = lamp(t, cluster);
  const epoch = await epochOf(cluster, 'lamp');
  const job = await cluster.submit('--constraint', 'agent==lamp', '--', 'blink', '5');
  await cluster.task(job, 'TASK_RUNNING');
  await cluster.master?.end('SIGKILL');
  await cluster.startMaster();
  t.is(await epochOf(cluster, 'lamp'), epoch, 'resumed: nothing was committed');
  const ended = await cluster.task(job, 'TASK_FINISHED');
  t.is(ended.attempt, 0);
  t.is(ended.restart ?? 0, 0);

  // Its power is cut while it runs something: it has forgotten all but how often it booted, and says so.
  const second = await cluster.submit('--constraint', 'agent==lamp', '--', 'blink', '2');
  await cluster.task(second, 'TASK_RUNNING');
  await device.end('SIGKILL');
  lamp(t, cluster);
  t.not(await epochOf(cluster, 'lamp', epoch), epoch, 'registered anew');
  const again = await cluster.task(second, 'TASK_FINISHED');
  t.is(again.attempt, 1, 'another attempt, which counts as no retry');
});

test('one that is refused is told why', async (t) => {
  const cluster = await Cluster.start(t, { lamp: {} });
  await cluster.agents.get('lamp')?.end('SIGTERM');
  const device = lamp(t, cluster);
  await device.said(/NAME_TAKEN the name lamp belongs to agent/);
  t.pass();
});
