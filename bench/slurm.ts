import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from './three-masters.ts';

const run = promisify(execFile);
const PROGRAMS = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'sinfo'];
const NODES = 8;
const SLOTS = 4;
const UP_MS = 30_000;
const LOOK_MS = 100;
/** Events at once instead of every 3 s, the whole queue at each look: Slurm's rate is a tenth of this as it comes. */
const TUNED =
  'batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1,default_queue_depth=2000,max_rpc_cnt=0';

/** Slurm on this machine alone. */
export interface Slurm {
  /** Submits an array of so many /bin/true, at most 1,000; tasks a second until the queue is empty. */
  rate(count: number): Promise<number>;
  stop(): Promise<void>;
}

/**
 * One slurmctld, tuned, and eight slurmd of four slots each, which was the best of what was tried, with a munged of
 * their own; on the loopback interface, everything in `folder`. A text says what is missing.
 */
export async function startSlurm(folder: string): Promise<Slurm | string> {
  const missing = PROGRAMS.filter((program) => spawnSync(program, ['--version']).error !== undefined);
  if (missing.length > 0) return `no ${missing.join(', ')}`;
  if (process.getuid?.() !== 0) return 'slurmd takes root';
  const home = join(folder, 'slurm');
  for (const name of ['state', 'spool', 'log', 'run']) mkdirSync(join(home, name), { recursive: true });
  writeFileSync(join(home, 'munge.key'), randomBytes(1_024), { mode: 0o400 });
  const config = join(home, 'slurm.conf');
  writeFileSync(config, await configuration(home));
  const env = { ...process.env, SLURM_CONF: config };
  // Each goes to the background by itself, and tells in a file who it is.
  const end = (): void => {
    for (const name of ['slurmctld', ...nodes().map((node) => `slurmd-${node}`), 'munged']) endDaemon(home, name);
  };
  process.once('exit', end);
  const munge = [`--key-file=${home}/munge.key`, `--socket=${home}/run/munge.sock`, `--seed-file=${home}/run/seed`];
  const note = [`--pid-file=${home}/run/munged.pid`, `--log-file=${home}/log/munged.log`];
  await daemon('munged', ['--force', ...munge, ...note], env);
  await daemon('slurmctld', ['-f', config, '-c'], env);
  for (const node of nodes()) await daemon('slurmd', ['-N', node, '-f', config], env);
  const upBy = performance.now() + UP_MS;
  for (;;) {
    const { stdout } = await run('sinfo', ['-h', '-o', '%t %D'], { env }).catch(() => ({ stdout: '' }));
    if (stdout.trim() === `idle ${NODES}`) break;
    if (performance.now() > upBy) throw new Error(`Slurm's nodes are not up: ${stdout}`);
    await pause(LOOK_MS);
  }
  return {
    rate: async (count) => {
      const begin = performance.now();
      const array = [`--array=0-${count - 1}`, '-o', '/dev/null', '-e', '/dev/null', '--wrap', '/bin/true'];
      await run('sbatch', array, { env, cwd: home });
      while ((await run('squeue', ['-h'], { env })).stdout.trim() !== '') await pause(LOOK_MS);
      return (count / (performance.now() - begin)) * 1_000;
    },
    stop: async () => {
      process.off('exit', end);
      end();
      await pause(LOOK_MS);
    },
  };
}

function nodes(): string[] {
  return Array.from({ length: NODES }, (_, at) => `n${at + 1}`);
}

async function configuration(home: string): Promise<string> {
  const ports = new Set<number>();
  while (ports.size <= NODES) ports.add(await freePort());
  const [controller, ...ofNodes] = ports;
  return [
    'ClusterName=bench',
    `SlurmctldHost=${hostname()}(127.0.0.1)`,
    `SlurmctldPort=${controller}`,
    'SlurmUser=root',
    'AuthType=auth/munge',
    `AuthInfo=socket=${home}/run/munge.sock`,
    'CredType=cred/munge',
    `StateSaveLocation=${home}/state`,
    `SlurmdSpoolDir=${home}/spool/%n`,
    `SlurmctldPidFile=${home}/run/slurmctld.pid`,
    `SlurmdPidFile=${home}/run/slurmd-%n.pid`,
    `SlurmctldLogFile=${home}/log/slurmctld.log`,
    `SlurmdLogFile=${home}/log/slurmd-%n.log`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'JobAcctGatherType=jobacct_gather/none',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_CPU',
    'SchedulerType=sched/backfill',
    'CommunicationParameters=NoInAddrAny,NoCtldInAddrAny',
    'SlurmdParameters=config_overrides',
    'ReturnToService=2',
    `SchedulerParameters=${TUNED}`,
    ...nodes().map(
      (node, at) =>
        `NodeName=${node} NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${ofNodes[at]} CPUs=${SLOTS} RealMemory=2000`,
    ),
    `PartitionName=all Nodes=n[1-${NODES}] Default=YES MaxTime=INFINITE State=UP`,
    '',
  ].join('\n');
}

/** Resolves once it has gone to the background. */
function daemon(program: string, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, argv, { env, stdio: 'ignore' });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${program} ended: ${code}`))));
  });
}

function endDaemon(home: string, name: string): void {
  try {
    process.kill(Number(readFileSync(join(home, `run/${name}.pid`), 'utf8')), 'SIGKILL');
  } catch {
    // It never began, or has ended.
  }
}
