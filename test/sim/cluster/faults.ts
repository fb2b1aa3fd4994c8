import type { AgentMachine } from './agent-machine.ts';
import type { ClusterSimulation } from './cluster-simulation.ts';
import type { MasterProcess } from './master-process.ts';

/** How much more often than a rare one. */
type Weight = number;

interface FaultKind {
  readonly weight: Weight;
  /** Undefined where it makes no sense now. */
  readonly make: (cluster: ClusterSimulation) => string | undefined;
}

const FAULTS: Readonly<Record<string, FaultKind>> = {
  'master killed': {
    weight: 4,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (!master.runs) return undefined;
      master.kill('process');
      later(cluster, 3_000, () => again(master));
      return master.id;
    },
  },
  'master without power': {
    weight: 4,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (!master.runs) return undefined;
      master.kill('power');
      later(cluster, 3_000, () => again(master));
      return master.id;
    },
  },
  'master paused': {
    weight: 3,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (!master.runs || master.paused) return undefined;
      master.pause();
      later(cluster, 4_000, () => master.resume());
      return master.id;
    },
  },
  'disk of a master full': {
    weight: 1,
    make: (cluster) => {
      const { disk, id } = aMaster(cluster);
      disk.capacity = disk.used + cluster.random.below(2_000);
      later(cluster, 8_000, () => {
        disk.capacity = Number.POSITIVE_INFINITY;
      });
      return id;
    },
  },
  'sync of a master fails': {
    weight: 1,
    make: (cluster) => {
      const master = aMaster(cluster);
      master.disk.failingSyncs = 1;
      return master.id;
    },
  },
  'disk of a master lost': {
    weight: 1,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (!mayLose(cluster, master)) return undefined;
      master.kill('process');
      master.disk.wipe();
      later(cluster, 3_000, () => again(master));
      return master.id;
    },
  },
  'log of a master damaged': {
    weight: 1,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (!mayLose(cluster, master)) return undefined;
      master.kill('process');
      const segment = master.disk.paths().find((path) => path.endsWith('.segment'));
      const bytes = segment === undefined ? undefined : master.disk.peek(segment);
      if (segment !== undefined && bytes !== undefined) {
        // Behind the header, where the first record is.
        const at = 30 + cluster.random.below(10);
        bytes[at] = (bytes[at] ?? 0) ^ 0x55;
        master.disk.poke(segment, bytes);
      }
      later(cluster, 3_000, () => again(master));
      return master.id;
    },
  },
  'master added and one removed': {
    weight: 3,
    make: (cluster) => {
      if (!cluster.changes.possible) return undefined;
      void cluster.changes.addAndRemove();
      return 'one of all';
    },
  },
  'master replaced': {
    weight: 3,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (!cluster.changes.possible || !mayLose(cluster, master)) return undefined;
      void cluster.changes.replace(master);
      return master.id;
    },
  },
  'master of another version': {
    weight: 3,
    make: (cluster) => {
      const master = aMaster(cluster);
      if (cluster.weather.newer === 0 || !master.runs) return undefined;
      master.kill('process');
      const version = cluster.changeVersion(master.id);
      later(cluster, 3_000, () => again(master));
      return `${master.id}, the ${version}`;
    },
  },
  'agent of another version': {
    weight: 3,
    make: (cluster) => {
      const agent = anAgent(cluster);
      if (cluster.weather.newer === 0 || !agent.runs) return undefined;
      agent.kill();
      const version = cluster.changeVersion(agent.name);
      later(cluster, 5_000, () => again(agent));
      return `${agent.name}, the ${version}`;
    },
  },
  'leadership handed over': {
    weight: 2,
    make: (cluster) => {
      const master = aMaster(cluster);
      void cluster.client.client.request('masters-transfer', { master: master.id }, { timeoutMs: 5_000 });
      return master.id;
    },
  },
  'master cut off': {
    weight: 3,
    make: (cluster) => {
      const { id, url } = aMaster(cluster);
      part(cluster, 5_000, (client, broker) => broker === url || client.startsWith(`${id}~`));
      return id;
    },
  },
  'master cut off from masters': {
    weight: 3,
    make: (cluster) => {
      const { id, url } = aMaster(cluster);
      part(
        cluster,
        5_000,
        (client, broker) => client.startsWith(`${id}~`) || (broker === url && /^m\d+~/.test(client)),
      );
      return id;
    },
  },
  'master not heard': {
    weight: 2,
    make: (cluster) => {
      const { id } = aMaster(cluster);
      part(cluster, 5_000, (client) => client.startsWith(`${id}~`));
      return id;
    },
  },
  'link between two masters cut': {
    weight: 1,
    make: (cluster) => {
      const [one, other] = [aMaster(cluster), aMaster(cluster)];
      part(
        cluster,
        5_000,
        (client, broker, way) => client.startsWith(`${one.id}~`) && broker === other.url && way === 'up',
      );
      return `${one.id} to ${other.id}`;
    },
  },
  'agent killed': {
    weight: 3,
    make: (cluster) => {
      const agent = anAgent(cluster);
      if (!agent.runs) return undefined;
      agent.kill();
      later(cluster, 5_000, () => again(agent));
      return agent.name;
    },
  },
  'agent without power': {
    weight: 2,
    make: (cluster) => {
      const agent = anAgent(cluster);
      agent.cutPower();
      later(cluster, 10_000, () => again(agent));
      return agent.name;
    },
  },
  'agent paused': {
    weight: 2,
    make: (cluster) => {
      const agent = anAgent(cluster);
      if (!agent.runs || agent.paused) return undefined;
      agent.pause();
      later(cluster, 8_000, () => agent.resume());
      return agent.name;
    },
  },
  'agent cut off': {
    weight: 3,
    make: (cluster) => {
      const { name } = anAgent(cluster);
      // Now and then for so long that it becomes unreachable.
      part(cluster, cluster.random.chance(0.2) ? 200_000 : 20_000, (client) => client.startsWith(`agent:${name}~`));
      return name;
    },
  },
  'link of an agent broken': {
    weight: 3,
    make: (cluster) => {
      const { name } = anAgent(cluster);
      for (const { url } of cluster.masters)
        for (const client of cluster.network.broker(url).clients())
          if (client.startsWith(`agent:${name}~`)) cluster.network.cut(client);
      return name;
    },
  },
  'disk of an agent full': {
    weight: 1,
    make: (cluster) => {
      const { disk, name } = anAgent(cluster);
      disk.capacity = disk.used + cluster.random.below(500);
      later(cluster, 8_000, () => {
        disk.capacity = Number.POSITIVE_INFINITY;
      });
      return name;
    },
  },
  'card of an agent lost': {
    weight: 1,
    make: (cluster) => {
      const agent = anAgent(cluster);
      const lost = agent.loseCard();
      // Nobody but an operator knows that what ran there does not run any more.
      if (lost !== undefined) cluster.client.declareGone(lost);
      later(cluster, 5_000, () => again(agent));
      return agent.name;
    },
  },
  'card of an agent copied': {
    weight: 1,
    make: (cluster) => {
      const agent = anAgent(cluster);
      const copy = cluster.copyOf(agent);
      copy.start();
      later(cluster, 15_000, () => {
        copy.down = true;
        copy.cutPower();
      });
      return agent.name;
    },
  },
  'clock jumps': {
    weight: 1,
    make: (cluster) => {
      // By days, and less than those for which ended jobs are kept.
      const wallMs = (cluster.random.next() - 0.5) * 5e8;
      if (cluster.random.chance(0.5)) {
        const master = aMaster(cluster);
        master.wallMs = wallMs;
        return master.id;
      }
      // A board without a battery may wake up in 1970.
      const agent = anAgent(cluster);
      agent.wallMs = cluster.random.chance(0.5) ? wallMs : -cluster.clock.wall();
      return agent.name;
    },
  },
};

const DRAWN = Object.entries(FAULTS).flatMap(([name, { weight, make }]) =>
  Array.from({ length: weight }, () => ({ name, make })),
);

/** All there are. */
export const FAULT_NAMES = Object.keys(FAULTS);

/** Makes one fault by chance; what mends it comes by itself. Its name. */
export function breakSomething(cluster: ClusterSimulation): string {
  for (;;) {
    const drawn = DRAWN[cluster.random.below(DRAWN.length)];
    const victim = drawn?.make(cluster);
    if (drawn === undefined || victim === undefined) continue;
    cluster.say('fault:', drawn.name, { victim });
    return drawn.name;
  }
}

function aMaster({ masters, random }: ClusterSimulation): MasterProcess {
  const master = masters[random.below(masters.length)];
  if (master === undefined) throw new Error('there are masters');
  return master;
}

function anAgent({ agents, random }: ClusterSimulation): AgentMachine {
  const agent = agents[random.below(agents.length)];
  if (agent === undefined) throw new Error('there are agents');
  return agent;
}

/** One at a time, and only where a majority has all of its own: more is what a backup is for. */
function mayLose(cluster: ClusterSimulation, master: MasterProcess): boolean {
  const { audit, clock, masters } = cluster;
  const sound = masters.filter(
    (other) => other !== master && other.runs && audit.appliedIndex(other.id) === audit.latestIndex,
  );
  if (cluster.changes.busy || sound.length * 2 <= masters.length || cluster.lostAt > clock.monotonic() - 30_000)
    return false;
  cluster.lostAt = clock.monotonic();
  return true;
}

/** Within so many milliseconds; most often soon. */
function later({ clock, random }: ClusterSimulation, ms: number, run: () => void): void {
  clock.after(random.chance(0.3) ? 5 : random.next() * ms, run);
}

function again(part: MasterProcess | AgentMachine): void {
  if (!part.down) part.start();
}

function part(
  cluster: ClusterSimulation,
  ms: number,
  blocks: Parameters<ClusterSimulation['network']['partition']>[0],
): void {
  cluster.cut(blocks, cluster.random.next() * ms);
}
