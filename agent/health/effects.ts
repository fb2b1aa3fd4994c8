import type { Attribute } from '../../protocol/attributes.ts';
import { DRAIN_WISH } from '../../protocol/drain-wish.ts';
import { add, amountOf } from '../../protocol/resource-arithmetic.ts';
import type { Resource, Resources } from '../../protocol/resources.ts';
import type { Condition, Reading } from './conditions.ts';

/** What a condition does to what the agent offers. */
interface Effect {
  /** The attribute that tells of it. */
  readonly name: string;
  readonly text: string;
  /** Of these resources only so much of the whole is offered. */
  readonly offered?: Readonly<Record<string, number>>;
  /** Nothing is offered beside what runs. */
  readonly hold?: true;
  /** What runs had better leave: told as `drain-wish`. */
  readonly drain?: string;
}

const HALF = { cpus: 0.5 };

/** What each condition does. */
const EFFECTS: Readonly<Record<Condition, Effect>> = {
  hot: { name: 'hot', text: 'true', offered: HALF },
  overheated: { name: 'overheated', text: 'true', hold: true, drain: 'heat' },
  throttled: { name: 'throttled', text: 'now', offered: HALF },
  'under-voltage': { name: 'under-voltage', text: 'now', offered: HALF },
  'disk-nearly-full': { name: 'disk-nearly-full', text: 'true', offered: { disk: 0 } },
  'disk-full': { name: 'disk-full', text: 'true', hold: true },
  'battery-low': { name: 'battery', text: 'low', hold: true },
  'battery-empty': { name: 'battery', text: 'empty', hold: true, drain: 'battery' },
  metered: { name: 'metered', text: 'true' },
  'flash-worn': { name: 'flash-worn', text: 'true' },
};

/** What agents tell of their health: each name once. */
export function healthAttributes(holding: ReadonlySet<Condition>, reading: Reading): readonly Attribute[] {
  const told = new Map<string, string>();
  // What has been and is over matters too: a supply that is weak under load is weak.
  if (reading.throttledSinceBoot === true) told.set('throttled', 'since-boot');
  if (reading.underVoltageSinceBoot === true) told.set('under-voltage', 'since-boot');
  const wishes: string[] = [];
  for (const condition of holding) {
    const { name, text, drain } = EFFECTS[condition];
    told.set(name, text);
    if (drain !== undefined) wishes.push(drain);
  }
  if (wishes.length > 0) told.set(DRAIN_WISH, wishes.join(','));
  return [...told].map(([name, text]) => ({ name, text }));
}

/** True where nothing is offered beside what runs. */
export function offersNothingMore(holding: ReadonlySet<Condition>): boolean {
  return [...holding].some((condition) => EFFECTS[condition].hold === true);
}

/** What is still offered of all resources, never less than what runs (`used`) has of them. */
export function offeredResources(all: Resources, used: Resources, holding: ReadonlySet<Condition>): Resources {
  if (offersNothingMore(holding)) return withoutVolumes(used);
  const shares = new Map<string, number>();
  for (const condition of holding) {
    const { offered = {} } = EFFECTS[condition];
    for (const [name, share] of Object.entries(offered)) shares.set(name, Math.min(share, shares.get(name) ?? 1));
  }
  return all.flatMap((resource): Resource[] => {
    const share = shares.get(resource.name);
    if (share === undefined || resource.scalar === undefined) return [resource];
    const scalar = Math.max(
      Math.floor(resource.scalar * share),
      Math.min(resource.scalar, usedOf(all, used, resource)),
    );
    return scalar > 0 ? [{ ...resource, scalar }] : [];
  });
}

/** What runs takes of an entry. What is reserved while the agent runs was nobody's when the agent counted it. */
function usedOf(all: Resources, used: Resources, { name, role }: Resource): number {
  const roles = new Set(all.filter((one) => one.name === name).map((one) => one.role));
  return used
    .filter((one) => one.name === name && (roles.has(one.role) ? one.role === role : role === undefined))
    .reduce((sum, one) => sum + amountOf(one), 0);
}

/** An agent reports no volumes: the cluster makes them of the disk of their role. */
function withoutVolumes(resources: Resources): Resources {
  return resources.reduce<Resources>((sum, resource) => {
    const { volume: _, ...rest } = resource;
    return add(sum, [rest]);
  }, []);
}
