import type { Quantities } from '../../sdk/index.ts';
import type { PendingTasks } from './pending-tasks.ts';

/**
 * What each task of these jobs needs, where that is the same for all: offers come in whole multiples of it, and what no
 * task can use stays with others. Undefined where jobs differ, or need what is not a plain amount.
 */
export function shapeOf(jobs: readonly PendingTasks[]): Quantities | undefined {
  let shape: Quantities | undefined;
  let text = '';
  for (const { job } of jobs) {
    const { resources, ports } = job.spec;
    const own = resources.flatMap(({ name, role, scalar }) =>
      scalar === undefined || role !== undefined ? [] : [{ name, amount: scalar }],
    );
    if (own.length < resources.length) return undefined;
    if (ports > 0) own.push({ name: 'ports', amount: ports * 1_000 });
    const ownText = JSON.stringify(own);
    if (shape !== undefined && ownText !== text) return undefined;
    shape = own;
    text = ownText;
  }
  return shape;
}
