import { countRanges, subtractRanges, takeFirst } from '../protocol/resource-ranges.ts';
import type { Resource, Resources } from '../protocol/resources.ts';

/**
 * Deals a machine's resources out to `count` agents, so that nothing is offered twice: scalars and ranges in equal
 * parts, GPUs and cpus one by one; sets cannot be parted, and go to the first. Half a cpu each, on a machine that has
 * one, and no task of one cpu would ever fit: what is left over of cpus goes to the first.
 */
export function shareResources(resources: Resources, count: number): Resource[][] {
  const shares: Resource[][] = Array.from({ length: count }, () => []);
  for (const resource of resources) {
    for (const [at, part] of shareResource(resource, count).entries()) if (part !== undefined) shares[at]?.push(part);
  }
  return shares;
}

/** Deals devices out one by one, each kind from the first agent on: no two agents have the same one. */
export function shareDevices<Device extends { readonly kind: string }>(
  devices: readonly Device[],
  count: number,
): Device[][] {
  const shares: Device[][] = Array.from({ length: count }, () => []);
  const dealt = new Map<string, number>();
  for (const device of devices) {
    const before = dealt.get(device.kind) ?? 0;
    dealt.set(device.kind, before + 1);
    shares[before % count]?.push(device);
  }
  return shares;
}

function shareResource(resource: Resource, count: number): (Resource | undefined)[] {
  if (resource.scalar !== undefined) {
    const unit = resource.name === 'gpus' || resource.name === 'cpus' ? 1000 : 1;
    const whole = Math.floor(resource.scalar / unit);
    const rest = resource.scalar % unit;
    return Array.from({ length: count }, (_, at) => {
      const scalar = (Math.floor(whole / count) + (at < whole % count ? 1 : 0)) * unit + (at === 0 ? rest : 0);
      return scalar === 0 ? undefined : { ...resource, scalar };
    });
  }
  if (resource.ranges === undefined) return [resource];
  const total = countRanges(resource.ranges);
  let left = resource.ranges;
  return Array.from({ length: count }, (_, at) => {
    const ranges = takeFirst(left, Math.floor(total / count) + (at < total % count ? 1 : 0)) ?? [];
    left = subtractRanges(left, ranges);
    return ranges.length === 0 ? undefined : { ...resource, ranges };
  });
}
