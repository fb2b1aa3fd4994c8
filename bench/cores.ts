import { do_not_optimize as keep, measure } from 'mitata';
import { Allocator } from '../master/allocator/allocator.ts';
import { apply } from '../master/registry/apply.ts';
import { CommandReader, encodeCommand } from '../master/registry/commands.ts';
import { emptyRegistry, type Registry } from '../master/registry/registry.ts';
import { AGENT_UP } from '../protocol/agent-link.ts';
import { read, write } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { contains, subtract } from '../protocol/resource-arithmetic.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';
import type { TaskInfo, TaskStatus } from '../protocol/task.ts';
import type { Measured } from './report.ts';

const AGENTS = 1_000;
const BATCH = 100;
const WHOLE = 'cpus:32;mem:32768;disk:100000;gpus:1;ports:[31000-32000]';

/** What the pure cores cost by themselves, once they are warm: medians. */
export async function measureCores(): Promise<Measured[]> {
  const whole = resources(WHOLE);
  const some = resources('cpus:0.1;mem:32;ports:[31500-31500]');
  const update = { type: 'UPDATE', epoch: 7, updates: Array.from({ length: 10 }, (_, at) => status(at, 1)) } as const;
  const encoded = write(AGENT_UP, update);
  const entries = encodeCommand({ kind: 'UPDATE_TASKS', agent: 'a1', epoch: 7, updates: update.updates, nowMs: 1 });
  const [entry = new Uint8Array()] = entries instanceof Fault ? [] : entries;
  const reader = new CommandReader();
  return [
    await row('parse resources of five kinds', 1, () => keep(parseResources(WHOLE))),
    await row('contains and subtract, five kinds', 1, () => keep(contains(whole, some) && subtract(whole, some))),
    await row('encode a message of 10 status updates', 1, () => keep(write(AGENT_UP, update))),
    await row('decode and check it', 1, () => keep(read(AGENT_UP, encoded))),
    await row('decode a command of 10 status updates', 1, () => keep(reader.read(entry))),
    await row(`a round of the allocator, ${AGENTS} agents, 10 frameworks: each agent`, AGENTS, allocatorRound(whole)),
    await row(
      'the registry: launch, RUNNING, FINISHED and acknowledgement of a task',
      BATCH,
      registryRound(whole, some),
    ),
  ];
}

async function row(what: string, per: number, act: () => unknown): Promise<Measured> {
  const { p50, p99 } = await measure(act);
  const text = (ns: number): string => `${(ns / per / 1_000).toFixed(2)} µs`;
  return { what, value: text(p50), beside: `p99 ${text(p99)}`, target: undefined, met: undefined };
}

/** All agents are free, all frameworks want: everything is offered, and given back. */
function allocatorRound(whole: Resources): () => void {
  const allocator = new Allocator();
  for (let at = 0; at < AGENTS; at++)
    allocator.addAgent(`a${at}`, { name: `a${at}`, hostname: `h${at}`, attributes: [], total: whole });
  for (let at = 0; at < 10; at++) allocator.setFramework(`f${at}`, { roles: [`r${at % 3}`] });
  return () => {
    for (const allocation of allocator.allocate('all', 0)) allocator.recover(allocation);
  };
}

/** 100 tasks from launch to history, in four commands. */
function registryRound(whole: Resources, some: Resources): () => void {
  const registry: Registry = emptyRegistry();
  let index = 0;
  const take = (command: Parameters<typeof apply>[2]): void => {
    index++;
    keep(apply(registry, { index, term: 1 }, command));
  };
  take({ kind: 'CREATE_CLUSTER', uuid: 'c', generation: 1, nowMs: 1 });
  const identity = { agent: 'a1', name: 'a1', machine: 'm', serial: 's', incarnation: 'i', counter: 1 };
  const machine = { hostname: 'h', boot: 'b', resources: whole, attributes: [], metered: false, tasks: [] };
  take({ kind: 'REGISTER_AGENT', ...identity, ...machine, nowMs: 1 });
  take({ kind: 'SUBSCRIBE_FRAMEWORK', framework: 'batch', roles: ['me'], nowMs: 1 });
  const epoch = registry.agents.get('a1')?.epoch ?? 0;
  const needs = some.filter(({ name }) => name !== 'ports');
  let first = 0;
  return () => {
    const numbers = Array.from({ length: BATCH }, (_, at) => first + at);
    first += BATCH;
    const about = { framework: 'batch', agent: 'a1', epoch, nowMs: 1 };
    take({ kind: 'LAUNCH', ...about, role: 'me', tasks: numbers.map((at) => info(at, needs)) });
    take({ kind: 'UPDATE_TASKS', ...about, updates: numbers.map((at) => status(at, 1)) });
    take({ kind: 'UPDATE_TASKS', ...about, updates: numbers.map((at) => status(at, 2)) });
    const updates = numbers.flatMap((at) =>
      [1, 2].map((sequence) => ({ task: `job.${at}`, uuid: `u${at}-${sequence}` })),
    );
    take({ kind: 'ACKNOWLEDGE', framework: 'batch', updates, nowMs: 1 });
    if (registry.tasks.size !== 0) throw new Error(`${registry.tasks.size} tasks did not reach the history`);
  };
}

function info(at: number, needs: Resources): TaskInfo {
  return {
    task: `job.${at}`,
    attempt: 0,
    argv: ['/bin/true'],
    environment: { MESQ_JOB: 'job', MESQ_TASK_INDEX: String(at) },
    resources: [...needs],
    restart: 'never',
    killGraceMs: 3_000,
  } as TaskInfo;
}

function status(at: number, sequence: 1 | 2): TaskStatus {
  return {
    framework: 'batch',
    task: `job.${at}`,
    attempt: 0,
    restart: 0,
    uuid: `u${at}-${sequence}`,
    sequence,
    state: sequence === 1 ? 'TASK_RUNNING' : 'TASK_FINISHED',
    at: { boot: '0c3f2e1a-boot', monotonicMs: 123_456, wallMs: 1_795_000_000_000 },
  };
}

function resources(text: string): Resources {
  const parsed = parseResources(text);
  if (parsed instanceof Fault) throw parsed;
  return parsed;
}
