import { Fault } from '../../protocol/faults.ts';
import { amountOfName, formatQuantities, type Quantities, quantitiesOf } from '../../protocol/quantities.ts';
import type { Registry } from './registry.ts';

/**
 * What speaks against guarantees of `role`: with those of all other roles they are more than all agents have, so that
 * everything that is free would be kept for them, for ever (Mesos: quota_handler.cpp). Agents that are unreachable count.
 * Undefined where it can be met, or no agent is there yet. Fault: BAD_SHAPE.
 */
export function guaranteeProblem(registry: Registry, role: string, guarantees: Quantities): Fault | undefined {
  const agents = [...registry.agents.values()].filter(({ state }) => state !== 'gone');
  if (agents.length === 0) return undefined;
  const others = [...registry.roles.values()].filter((known) => known.role !== role);
  for (const { name, amount } of guarantees) {
    const there = agents.reduce((sum, { resources }) => sum + amountOfName(quantitiesOf(resources), name), 0);
    const before = others.reduce((sum, { quota }) => sum + amountOfName(quota?.guarantees ?? [], name), 0);
    if (amount + before <= there) continue;
    const of = (value: number): string => formatQuantities([{ name, amount: value }]);
    const more = before === 0 ? '' : `, and other roles are guaranteed ${of(before)}`;
    return new Fault(
      'BAD_SHAPE',
      `guarantee: ${of(amount)} is more than there is: all agents have ${of(there)}${more}`,
      'Guarantee less. With --force it is set all the same: what is free is kept for it until agents come that can meet it.',
    );
  }
  return undefined;
}
