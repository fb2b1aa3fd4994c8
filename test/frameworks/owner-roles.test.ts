import test from 'ava';
import { OwnerRoles } from '../../frameworks/batch/owner-roles.ts';
import type { SchedulerDriver } from '../../sdk/index.ts';
import { VirtualClock } from '../sim/clock.ts';

test('a role stands for a minute after the last job of its owner, whenever those of others end', async (t) => {
  const clock = new VirtualClock();
  let roles: readonly string[] = [];
  const driver = {
    updateFramework: (now: readonly string[]) => {
      roles = [...now].sort();
    },
    reviveOffers: () => undefined,
  } as unknown as SchedulerDriver;
  const owners = new OwnerRoles(clock);
  const job = (owner: string): void => {
    owners.jobBegan(owner);
    owners.wants(driver, owner, undefined);
    owners.jobEnded(driver, owner);
  };
  job('ann');
  await clock.advance(59_000);
  job('bob');
  t.deepEqual(roles, ['ann', 'bob']);
  await clock.advance(2_000);
  t.deepEqual(roles, ['bob']);
  await clock.advance(50_000);
  job('bob');
  await clock.advance(59_000);
  t.deepEqual(roles, ['bob']);
  await clock.advance(2_000);
  t.deepEqual(roles, []);
  // Read anew, as after a failover: who has no job any more goes with the next that is idle.
  owners.jobBegan('ann');
  owners.wants(driver, 'ann', undefined);
  owners.clear();
  job('bob');
  await clock.advance(61_000);
  t.deepEqual(roles, []);
});
