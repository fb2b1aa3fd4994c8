import type { SalvagedAccept } from '../protocol/salvage-accept.ts';
import { dropped, handleCall, type SchedulerDesk } from './scheduler-calls.ts';

/** Carries out what is left of an ACCEPT, and answers what is not: the tasks as TASK_ERROR, the rest as ERROR. */
export function handleSpoiledAccept(desk: SchedulerDesk, framework: string, salvaged: SalvagedAccept): void {
  const { accept, refused, faults, encoding } = salvaged;
  if (desk.frameworks.active(framework)) {
    for (const fault of faults) desk.frameworks.refuse(framework, fault, encoding);
    for (const { task, fault } of refused) dropped(desk, framework, task, fault);
  }
  handleCall(desk, framework, accept, encoding);
}
