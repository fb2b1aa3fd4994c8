import { measureAgentStart } from './agent-start.ts';
import { measureCancel } from './cancel.ts';
import { measureLaunch } from './launch.ts';
import { measureReboot } from './reboot.ts';
import type { Measured } from './report.ts';
import { measureSlowLink } from './slow-link.ts';
import { measureTaskMemory } from './task-memory.ts';

/** What one agent owes: its start, the start and the end of a task, what a task costs, a reboot alone, a slow link. */
export async function measureAgent(parent: string): Promise<Measured[]> {
  const rows: Measured[] = [];
  for (const measure of [
    measureAgentStart,
    measureLaunch,
    measureCancel,
    measureReboot,
    measureTaskMemory,
    measureSlowLink,
  ])
    rows.push(...(await measure(parent)));
  return rows;
}
