import { rm } from 'node:fs/promises';
import type { SeededRandom } from '../sim/random.ts';
import { start } from './cluster.ts';
import type { JobStream } from './job-stream.ts';
import { OUTSIDE } from './master-network.ts';
import type { Quorum } from './quorum.ts';

export interface ChaosWorld {
  readonly quorum: Quorum;
  readonly stream: JobStream;
  readonly random: SeededRandom;
}

interface Victims extends ChaosWorld {
  readonly leader: string;
  readonly follower: string;
}

/** By name: each breaks something, waits until that has told, and mends it. Nobody waits for the cluster to be whole again. */
export const CHAOS_FAULTS: Readonly<Record<string, (victims: Victims) => Promise<void>>> = {
  'leader killed': ({ quorum, leader }) => restart(quorum, leader, 'SIGKILL'),
  'follower killed': ({ quorum, follower }) => restart(quorum, follower, 'SIGKILL'),
  'all masters killed': async ({ quorum }) => {
    const ids = [...quorum.urls.keys()];
    await Promise.all(ids.map((id) => quorum.masters.get(id)?.end('SIGKILL')));
    for (const id of ids) quorum.startMaster(id);
  },
  'leader stopped': ({ quorum, leader }) => restart(quorum, leader, 'SIGTERM'),
  'leader frozen': ({ quorum, leader, stream }) =>
    freeze(quorum, leader, async () => {
      await anotherLeads(quorum, leader);
      await stream.submit();
    }),
  'follower frozen': ({ quorum, follower, stream }) =>
    freeze(quorum, follower, async () => {
      await missed(quorum, follower);
      await stream.submit();
    }),
  'leadership handed over': async ({ quorum, follower }) => {
    await quorum.handOver(follower);
  },
  'master upgraded': ({ quorum, leader, follower, random }) =>
    quorum.upgrade(random.below(2) === 0 ? leader : follower),
  'follower emptied': async ({ quorum, follower }) => {
    await quorum.masters.get(follower)?.end('SIGKILL');
    await rm(quorum.dataOf(follower), { recursive: true, force: true });
    quorum.startMaster(follower);
  },
  'disk of the leader full': ({ quorum, leader }) => fillDisk(quorum, leader),
  'disk of a follower full': ({ quorum, follower }) => fillDisk(quorum, follower),
  'leader cut off from the others': (victims) =>
    cut(victims, ({ quorum, leader }) => {
      for (const other of othersOf(quorum, leader)) quorum.network.part(leader, other);
    }),
  'leader cut off until it gives its links up': (victims) =>
    cut(victims, async ({ quorum, leader }) => {
      const gaveUp = quorum.says(leader, /bus_disconnected/);
      for (const other of othersOf(quorum, leader)) quorum.network.part(leader, other);
      await gaveUp;
    }),
  'leader cut off from everybody': (victims) =>
    cut(victims, ({ quorum, leader }) => {
      for (const other of [...othersOf(quorum, leader), OUTSIDE]) quorum.network.part(leader, other);
    }),
  'leader not heard': (victims) =>
    cut(victims, ({ quorum, leader }) => {
      for (const other of othersOf(quorum, leader)) quorum.network.block(leader, other);
    }),
  'leader deaf': (victims) =>
    cut(victims, ({ quorum, leader }) => {
      for (const other of othersOf(quorum, leader)) quorum.network.block(other, leader);
    }),
  'leader and one follower parted': async ({ quorum, leader, follower, stream }) => {
    const told = quorum.says(follower, /no leader known/);
    quorum.network.part(leader, follower);
    await told;
    await stream.submit();
    quorum.network.mend();
  },
  'follower cut off from everybody': async ({ quorum, follower, stream }) => {
    const told = quorum.says(follower, /no leader known/);
    for (const other of [...othersOf(quorum, follower), OUTSIDE]) quorum.network.part(follower, other);
    await Promise.all([told, missed(quorum, follower)]);
    await stream.submit();
    quorum.network.mend();
  },
  'agent killed': async ({ quorum, random }) => {
    const busy = await quorum.busyAgents();
    const name = busy[random.below(busy.length)] ?? '';
    await quorum.agents.get(name)?.end('SIGKILL');
    quorum.startAgent(name);
  },
};

/** Does that to the cluster, and waits until it is whole again: says how long it took, for people. */
export async function breakAndMend(kind: string, world: ChaosWorld): Promise<string> {
  const { quorum, random } = world;
  const leader = await quorum.leader();
  const followers = othersOf(quorum, leader);
  const follower = followers[random.below(followers.length)] ?? leader;
  const times = [Date.now()];
  for (const step of [
    () => CHAOS_FAULTS[kind]?.({ ...world, leader, follower }),
    () => quorum.whole(),
    () => quorum.agentsActive(),
  ]) {
    await step();
    times.push(Date.now());
  }
  const [mended, whole, agents] = times.slice(1).map((time, at) => ((time - (times[at] ?? time)) / 1_000).toFixed(1));
  return `mended after ${mended} s, whole ${whole} s later, with all agents ${agents} s later`;
}

/** All kinds in a random order, then all in another, …: each comes up once in as many as there are. */
export function* shuffledRounds(kinds: readonly string[], random: SeededRandom): Generator<string, never> {
  for (;;) {
    const round = [...kinds];
    while (round.length > 0) yield* round.splice(random.below(round.length), 1);
  }
}

function othersOf(quorum: Quorum, id: string): string[] {
  return [...quorum.urls.keys()].filter((other) => other !== id);
}

async function restart(quorum: Quorum, id: string, signal: NodeJS.Signals): Promise<void> {
  await quorum.masters.get(id)?.end(signal);
  quorum.startMaster(id);
}

function anotherLeads(quorum: Quorum, before: string): Promise<string> {
  return quorum.until((masters) => masters.find(({ role, id }) => role === 'leader' && id !== before)?.id);
}

/** Waits until the leader hears of a master no more. */
function missed(quorum: Quorum, id: string): Promise<true> {
  return quorum.until((masters) => masters.some((one) => one.id === id && one.role === 'unreachable') || undefined);
}

async function freeze(quorum: Quorum, id: string, told: () => Promise<unknown>): Promise<void> {
  const frozen = quorum.masters.get(id);
  frozen?.process.kill('SIGSTOP');
  await told();
  frozen?.process.kill('SIGCONT');
}

/** The leader is cut off so that another one must lead, and takes submissions. */
async function cut(victims: Victims, block: (victims: Victims) => void | Promise<void>): Promise<void> {
  const { quorum, leader, stream } = victims;
  await block(victims);
  await anotherLeads(quorum, leader);
  await stream.submit();
  quorum.network.mend();
}

/** No file of it may grow any more, or be written to: its next write fails. Started again, it may. */
async function fillDisk(quorum: Quorum, id: string): Promise<void> {
  const master = quorum.masters.get(id);
  await start('prlimit', ['--pid', String(master?.pid), '--fsize=0']).ended;
  const ended = await master?.ended;
  if (ended === undefined || ended.code === 0 || !/EFBIG/.test(ended.stderr))
    throw new Error(`${id} ended otherwise than by its disk: ${ended?.code} ${ended?.stderr.slice(-2_000)}`);
  quorum.startMaster(id);
}
