import type { ContainerTask } from '../../io/launcher.ts';
import type { ContainerInfo } from '../../protocol/container.ts';
import { containerPorts } from '../../protocol/container-ports.ts';
import { Fault } from '../../protocol/faults.ts';
import { volumesIn } from '../../protocol/operations.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { confinementOf } from '../isolation/confinement.ts';
import { volumePath } from '../volumes.ts';

/** Whatever the machine's own groups are like: the engine sees to its containers. */
const ENGINE = { cpu: true, memory: 'task' } as const;

/** Where a container's task is, on the machine. */
export interface ContainerPlace {
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute paths: its working folder, and that of all volumes. The container sees its own at the same places. */
  readonly sandbox: string;
  readonly volumes: string;
  readonly devices: readonly string[];
}

/** What of a task the engine is asked to run. What it takes is its share of CPUs; a limit is what was written as one. */
export function containerTask(
  { argv, resources, limits }: Pick<TaskInfo, 'argv' | 'resources' | 'limits'>,
  container: ContainerInfo,
  place: ContainerPlace,
): ContainerTask {
  const { image, pull, workdir, user, network } = container;
  const ports = containerPorts(container, resources);
  const own = volumesIn(resources).map((volume) => ({
    volume: volume.volume,
    source: `${place.volumes}/${volumePath(volume)}`,
  }));
  const placeOf = (volume: string | undefined): string => own.find((one) => one.volume === volume)?.source ?? '';
  const { cpuShare, ...rest } = confinementOf({ resources, limits }, ENGINE).limits;
  return {
    image,
    pull,
    argv,
    environment: place.environment,
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user }),
    network,
    // The master has let no contradiction through.
    ports: typeof ports === 'string' ? [] : ports,
    mounts: [
      { source: place.sandbox, target: place.sandbox, readOnly: false },
      ...own.map(({ source }) => ({ source, target: source, readOnly: false })),
      ...container.volumes.map(({ host, volume, path, readOnly }) => ({
        source: host ?? placeOf(volume),
        target: path,
        readOnly,
      })),
    ],
    devices: place.devices,
    limits: {
      ...(cpuShare === 0 ? {} : { cpuShare }),
      ...rest,
    },
  };
}

/** Why an agent takes no such container; undefined where it does. `mounts`: what they may be given; undefined: there is no engine. */
export function containerBar(
  container: ContainerInfo | undefined,
  mounts: readonly string[] | undefined,
  agent: string,
): Fault | undefined {
  if (container === undefined) return undefined;
  if (mounts === undefined)
    return new Fault(
      'UNSUPPORTED',
      `agent ${agent} has no container engine`,
      'Start Podman or Docker there: it looks for one every 30 s. The constraint containers~=docker|podman keeps tasks away.',
    );
  const allowed = (path: string): boolean => mounts.some((root) => path === root || path.startsWith(`${root}/`));
  const barred = container.volumes.find(({ host }) => host !== undefined && !allowed(host));
  if (barred === undefined) return undefined;
  return new Fault(
    'NOT_ALLOWED',
    `agent ${agent} gives no container its ${barred.host}`,
    'Its operator allows it with mesq agent --allow-mounts.',
  );
}
