import test from 'ava';
import { attach } from '../../cli/attach.ts';
import { exec } from '../../cli/exec.ts';
import { fetchFile } from '../../cli/fetch.ts';
import { run } from '../../cli/run.ts';
import { wait } from '../../cli/wait.ts';
import { Cluster, type Ended } from './cluster.ts';

/** What the cluster does, and what came of it. */
type Scene = (cluster: Cluster) => Promise<Ended>;

/** Ends with 3, 126, …, and as nothing else does. */
const ENDS: Readonly<Record<string, { argv: readonly string[]; code: number }>> = {
  0: { argv: ['--', 'true'], code: 0 },
  n: { argv: ['--count', '2', '--cpus', '0.1', '--', 'sh', '-c', 'exit $((MESQ_TASK_INDEX + 2))'], code: 3 },
  124: { argv: ['--time', '200ms', '--', 'sleep', '600'], code: 124 },
  126: { argv: ['--', '/etc/passwd'], code: 126 },
  127: { argv: ['--', '/no/such/program'], code: 127 },
  '128+n': { argv: ['--', 'sh', '-c', 'kill -9 $$'], code: 137 },
};
const STAYS = ['--cpus', '0.1', '--', 'sh', '-c', 'echo up; exec sleep 600'];
const FLOODS = ['--cpus', '0.1', '--', 'yes'];

function ends(of: (cluster: Cluster, argv: readonly string[]) => Promise<Ended>): Record<string, Scene> {
  return Object.fromEntries(
    Object.entries(ENDS).map(([code, { argv }]) => [code, (cluster: Cluster) => of(cluster, argv)]),
  );
}

/** A verb that follows something which has said `up`, and is sent a signal then. */
function told(verb: (cluster: Cluster) => Promise<readonly string[]>, signal: NodeJS.Signals): Scene {
  return async (cluster) => {
    const running = cluster.spawn(await verb(cluster));
    await running.said(/up/);
    return running.end(signal);
  };
}

/** A verb that writes without end, and whose reader goes. */
function unread(verb: (cluster: Cluster) => Promise<readonly string[]>): Scene {
  return async (cluster) => {
    const running = cluster.spawn(await verb(cluster));
    running.process.stdout?.once('data', () => running.process.stdout?.destroy());
    return running.ended;
  };
}

const running = (): Promise<readonly string[]> => Promise.resolve(['run', ...STAYS]);
const attached = async (cluster: Cluster): Promise<readonly string[]> => ['attach', await cluster.submit(...STAYS)];
const beside = async (cluster: Cluster, ...argv: readonly string[]): Promise<readonly string[]> => {
  const job = await cluster.submit(...STAYS);
  await cluster.task(job, 'TASK_RUNNING');
  return ['exec', job, '--', ...argv];
};
const entered = (cluster: Cluster): Promise<readonly string[]> =>
  beside(cluster, 'sh', '-c', 'echo up; exec sleep 600');
const execs =
  (...argv: readonly string[]): Scene =>
  async (cluster) =>
    cluster.spawn(await beside(cluster, ...argv)).ended;
const leaves = async (cluster: Cluster): Promise<readonly string[]> => {
  const job = await cluster.submit('--', 'sh', '-c', 'head -c 50000000 /dev/zero >big');
  await cluster.end(job);
  return ['fetch', job, 'big'];
};

const SCENES = {
  run: {
    ...ends((cluster, argv) => cluster.mesq('run', ...argv)),
    125: (cluster) => cluster.mesq('run', '--cpus', '99', '--', 'true'),
    129: told(running, 'SIGHUP'),
    130: told(running, 'SIGINT'),
    141: unread(() => Promise.resolve(['run', ...FLOODS])),
  },
  wait: {
    ...ends(async (cluster, argv) => cluster.mesq('wait', await cluster.submit(...argv))),
    125: (cluster) => cluster.mesq('wait', 'nosuch'),
    130: async (cluster) => {
      const waiting = cluster.spawn(['wait', await cluster.submit(...STAYS)]);
      return waiting.end('SIGINT');
    },
  },
  attach: {
    ...ends(async (cluster, argv) => cluster.mesq('attach', await cluster.submit(...argv))),
    125: (cluster) => cluster.mesq('attach', 'nosuch'),
    129: told(attached, 'SIGHUP'),
    130: told(attached, 'SIGINT'),
    141: unread(async (cluster) => ['attach', await cluster.submit(...FLOODS)]),
  },
  exec: {
    0: execs('true'),
    n: execs('sh', '-c', 'exit 3'),
    125: (cluster) => cluster.mesq('exec', 'nosuch', '--', 'true'),
    126: execs('/etc/passwd'),
    127: execs('/no/such/program'),
    '128+n': execs('sh', '-c', 'kill -9 $$'),
    129: told(entered, 'SIGHUP'),
    130: told(entered, 'SIGINT'),
    141: unread((cluster) => beside(cluster, 'yes')),
    143: told(entered, 'SIGTERM'),
  },
  fetch: {
    130: async (cluster) => {
      const fetching = cluster.spawn([...(await leaves(cluster)), '-o', '-']);
      // It is on its way, and held up: nobody reads.
      fetching.process.stdout?.once('data', () => fetching.process.stdout?.pause());
      await fetching.said(/\0/);
      return fetching.end('SIGINT');
    },
    141: unread(async (cluster) => [...(await leaves(cluster)), '-o', '-']),
  },
} as const satisfies Record<string, Record<string, Scene>>;

/** What each code of the page is here. */
const NUMBERS: Readonly<Record<string, number>> = { n: 3, '128+n': 137 };

for (const [verb, { exits = {} }] of Object.entries({ run, wait, attach, exec, fetch: fetchFile })) {
  test(`mesq ${verb} exits as docs/cli.md says, in every case it names`, async (t) => {
    const scenes: Record<string, Scene> = SCENES[verb as keyof typeof SCENES];
    t.deepEqual(Object.keys(scenes).sort(), Object.keys(exits).sort());
    const cluster = await Cluster.start(t, { a1: { resources: 'cpus:8;mem:4096;disk:1024' } });
    for (const [code, scene] of Object.entries(scenes)) {
      const ended = await scene(cluster);
      t.is(ended.code, NUMBERS[code] ?? Number(code), `${code}: ${ended.stderr}`);
    }
  });
}
