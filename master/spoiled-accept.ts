import type { SalvagedAccept } from '../protocol/salvage-accept.ts';
import { dropped } from './accept-call.ts';
import { handleCall, type SchedulerDesk } from './scheduler-calls.ts';

/** Carries out what is left of an ACCEPT, and answers what is not: tasks as TASK_ERROR, operations as OPERATION_ERROR, the rest as ERROR. */
export function handleSpoiledAccept(desk: SchedulerDesk, framework: string, salvaged: SalvagedAccept): void {
  const { accept, refused, failed, faults, encoding } = salvaged;
  if (desk.frameworks.active(framework)) {
    for (const fault of faults) desk.frameworks.refuse(framework, fault, encoding);
    for (const { operation, fault } of failed) desk.operations.failed(framework, { id: operation }, fault);
    for (const { task, fault } of refused) dropped(desk, framework, task, fault);
  }
  handleCall(desk, framework, accept, encoding);
}
