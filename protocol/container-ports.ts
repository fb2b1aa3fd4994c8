import type { ContainerInfo } from './container.ts';
import type { Resources } from './resources.ts';

/** Which port of the machine leads to which of the container: among the task's own; or what is wrong, in words. */
export function containerPorts(
  { network, ports }: Pick<ContainerInfo, 'network' | 'ports'>,
  resources: Resources,
): { readonly host: number; readonly container: number }[] | string {
  if (ports.length > 0 && network !== 'bridge')
    return `container.ports: on the network ${network} there is nothing to map: a program on host listens at MESQ_PORT itself`;
  const own = ownPorts(resources, ports.length, new Set(ports.flatMap(({ host }) => host ?? [])));
  const mapped: { host: number; container: number }[] = [];
  for (const [index, { container, host = own.first[index] }] of ports.entries()) {
    if (host === undefined) return `container.ports.${index}: the task takes only ${own.first.length} ports`;
    if (!own.first.includes(host) && !own.named.has(host))
      return `container.ports.${index}: port ${host} is none of the task's`;
    mapped.push({ host, container });
  }
  return mapped;
}

/** The first so many ports of a task, in their order, and which of `wanted` are among all of them. */
function ownPorts(resources: Resources, most: number, wanted: ReadonlySet<number>) {
  const first: number[] = [];
  const named = new Set<number>();
  for (const { name, ranges } of resources) {
    if (name !== 'ports' || ranges === undefined) continue;
    for (const [begin, end] of ranges) {
      for (let port = begin; port <= end && first.length < most; port++) first.push(port);
      for (const port of wanted) if (port >= begin && port <= end) named.add(port);
    }
  }
  return { first, named };
}
