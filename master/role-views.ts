import type { RoleView } from '../protocol/operator.ts';
import { formatQuantities, type Quantities } from '../protocol/quantities.ts';
import { add } from '../protocol/resource-arithmetic.ts';
import { mayUse } from '../protocol/resource-role.ts';
import { formatResources, type Resources } from '../protocol/resources.ts';
import type { Leader } from './leader.ts';
import type { Offering } from './offering.ts';

/** Every role that matters to anybody: subscribed to, with a weight, a quota or a reservation. */
export function roleViews({ leader, offering }: { readonly leader: Leader; readonly offering: Offering }): RoleView[] {
  const { registry } = leader;
  const names = new Set(registry.roles.keys());
  for (const { roles } of registry.frameworks.values()) for (const role of roles) names.add(role);
  for (const { resources } of registry.agents.values())
    for (const { role } of resources) if (role !== undefined) names.add(role);
  return [...names].sort().map((role) => {
    const record = registry.roles.get(role);
    const { allocator } = offering;
    return {
      role,
      weight: record?.weight ?? 1,
      share: allocator.share(role),
      frameworks: [...registry.frameworks.values()]
        .filter(({ roles }) => roles.includes(role))
        .map(({ framework }) => framework),
      allocated: formatQuantities(quantities(allocator.held(role))),
      reserved: formatResources(reservedFor(leader, role)),
      quota:
        record?.quota === undefined
          ? null
          : {
              guarantees: formatQuantities(record.quota.guarantees),
              limits: formatQuantities(record.quota.limits),
              used: formatQuantities(quantities(allocator.usedOfQuota(role))),
            },
    };
  });
}

function quantities(tally: ReadonlyMap<string, number>): Quantities {
  return [...tally].map(([name, amount]) => ({ name, amount }));
}

/** On all agents, for the role and those below it. */
function reservedFor({ registry }: Leader, role: string): Resources {
  let reserved: Resources = [];
  for (const { resources, state } of registry.agents.values()) {
    if (state !== 'active') continue;
    reserved = add(
      reserved,
      resources.filter((one) => one.role !== undefined && mayUse(one.role, role)),
    );
  }
  return reserved;
}
