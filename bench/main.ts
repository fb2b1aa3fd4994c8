import { tmpdir } from 'node:os';
import { refuse, toolArguments } from '../tools/tool-arguments.ts';
import { measureAgent } from './agent.ts';
import { measureAllocation } from './allocation.ts';
import { measureCommits } from './commits.ts';
import { measureCores } from './cores.ts';
import { measureDeclaredDay } from './declared-day.ts';
import { measureFailover } from './failover.ts';
import { measureFairness } from './fairness.ts';
import { measureFrugalAgent } from './frugal-agent.ts';
import { measureHerd } from './herd.ts';
import { measureIdle } from './idle.ts';
import { measureIdleCluster } from './idle-cluster.ts';
import { measureJobRate } from './job-rate.ts';
import { measureLinks } from './links.ts';
import { measureLossyLink } from './lossy-link.ts';
import { type Measured, machine, printTable } from './report.ts';
import { measureSimulatedAgents } from './simulated-agents.ts';
import { measureSimulator } from './simulator.ts';
import { measureTaskLatency } from './task-latency.ts';

interface BenchOptions {
  /** Where data folders are made: an ext4 folder is slow for a minute after many files were removed from it. */
  readonly folder: string;
  /** Length of what is watched for a while; undefined: what each part takes by itself. */
  readonly minutes: number | undefined;
  /** How many are simulated, one measurement each; undefined: what each part takes by itself. */
  readonly agents: readonly number[] | undefined;
  /** The same, with TLS and client certificates. */
  readonly secureAgents: readonly number[] | undefined;
  /** How often the leader is killed. */
  readonly kills: number;
  /** Of a job of /bin/true. */
  readonly tasks: number;
  /** A folder into which bullmq and ioredis were installed. */
  readonly bullmq: string | undefined;
}

interface Part {
  readonly title: string;
  readonly measure: (options: BenchOptions) => Promise<Measured[]>;
}

const PARTS: Readonly<Record<string, Part>> = {
  cores: { title: 'The pure cores', measure: () => measureCores() },
  allocation: { title: 'The allocator, in the shapes published for Mesos', measure: () => measureAllocation() },
  fairness: { title: 'Shares after a minute', measure: () => measureFairness() },
  jobs: {
    title: 'Jobs of /bin/true, end to end',
    measure: ({ folder, tasks, bullmq }) => measureJobRate(folder, tasks, bullmq),
  },
  latency: { title: 'One task', measure: ({ folder }) => measureTaskLatency(folder) },
  agent: { title: 'An agent at work', measure: ({ folder }) => measureAgent(folder) },
  idle: { title: 'Nothing to do', measure: ({ folder, minutes }) => measureIdle(folder, minutes ?? 2) },
  frugal: { title: 'A frugal agent', measure: ({ folder, minutes }) => measureFrugalAgent(folder, minutes ?? 10) },
  day: {
    title: 'A declared day of an agent',
    measure: ({ folder, minutes }) => measureDeclaredDay(folder, minutes ?? 5),
  },
  failover: { title: 'The leader is killed', measure: ({ folder, kills }) => measureFailover(folder, kills) },
  herd: {
    title: 'The leader of many agents is killed',
    measure: ({ folder, agents, secureAgents }) =>
      measureHerd(
        folder,
        agents ?? [100, 500, 1_000, 2_000, 5_000],
        secureAgents ?? (agents === undefined ? [1_000] : []),
      ),
  },
  links: {
    title: 'Links that drop, again and again',
    measure: ({ folder, minutes }) => measureLinks(folder, minutes ?? 10),
  },
  quiet: {
    title: 'A cluster that has nothing to do',
    measure: ({ folder, minutes }) => measureIdleCluster(folder, minutes ?? 10),
  },
  board: { title: 'A slow board behind a link that loses packets', measure: ({ folder }) => measureLossyLink(folder) },
  commits: { title: 'Three masters commit', measure: ({ folder }) => measureCommits(folder) },
  simulator: { title: 'The simulator', measure: () => measureSimulator() },
  agents: {
    title: 'Many agents, one master',
    measure: ({ folder, agents }) => measureSimulatedAgents(folder, agents?.[0] ?? 1_000),
  },
};

const USAGE = `usage: npm run bench -- [PART…] [--folder DIR] [--minutes N] [--agents N,…] [--secure-agents N,…] [--kills N] [--tasks N]
       [--bullmq DIR]
parts, all of them unless named:
${Object.entries(PARTS)
  .map(([name, { title }]) => `  ${name.padEnd(11)}${title}`)
  .join('\n')}`;

const { values, positionals } = toolArguments(USAGE, {
  allowPositionals: true,
  options: {
    folder: { type: 'string', default: tmpdir() },
    minutes: { type: 'string' },
    agents: { type: 'string' },
    'secure-agents': { type: 'string' },
    kills: { type: 'string', default: '40' },
    tasks: { type: 'string', default: '1000' },
    bullmq: { type: 'string' },
  },
});
const counts = (text: string | undefined): number[] | undefined => text?.split(',').filter(Boolean).map(Number);
const wanted = positionals.length > 0 ? positionals : Object.keys(PARTS);
for (const name of wanted) if (!Object.hasOwn(PARTS, name)) refuse(`there is no part ${name}`, USAGE);
for (const name of wanted) {
  const part = PARTS[name];
  if (part === undefined) continue;
  console.log(`\n${machine()}, data in ${values.folder}`);
  printTable(
    part.title,
    await part.measure({
      folder: values.folder,
      minutes: values.minutes === undefined ? undefined : Number(values.minutes),
      agents: counts(values.agents),
      secureAgents: counts(values['secure-agents']),
      kills: Number(values.kills),
      tasks: Number(values.tasks),
      bullmq: values.bullmq,
    }),
  );
}
