import { volumesIn } from '../../protocol/operations.ts';
import { formatScalar } from '../../protocol/resource-scalar.ts';
import type { Resources } from '../../protocol/resources.ts';
import type { Run } from '../checkpoint/state.ts';
import type { OwnDevice } from '../devices/choose-devices.ts';
import { deviceEnvironment, withoutDevices } from '../devices/device-environment.ts';
import { volumePath } from '../volumes.ts';

/** Where a command runs. */
export interface CommandPlace {
  readonly agent: string;
  readonly agentName: string;
  /** Absolute paths: its working folder, and that of all volumes. */
  readonly sandbox: string;
  readonly volumes: string;
  /** Of the machine: what of them it was not given, it is to leave alone. */
  readonly devices: readonly OwnDevice[];
}

/** What the framework gave a command, and what the agent alone knows about it: that, nobody else's word replaces. */
export function environmentOf(run: Run, place: CommandPlace): Record<string, string> {
  const { framework, info, restart, devices } = run;
  return {
    ...info.environment,
    ...withoutDevices(place.devices),
    ...deviceEnvironment(devices),
    MESQ_FRAMEWORK: framework,
    MESQ_TASK_ID: info.task,
    MESQ_ATTEMPT: String(info.attempt),
    MESQ_RESTART: String(restart),
    MESQ_AGENT: place.agentName,
    MESQ_AGENT_ID: place.agent,
    MESQ_SANDBOX: place.sandbox,
    ...amounts(info.resources),
    ...ports(info.resources),
    ...limits(info.limits),
    ...volumes(info.resources, place.volumes),
  };
}

/** `MESQ_VOLUME_DATA` is the folder of the volume `data`; what cannot be in a variable's name is `_`. */
function volumes(resources: Resources, root: string): Record<string, string> {
  const told: Record<string, string> = {};
  for (const volume of volumesIn(resources))
    told[`MESQ_VOLUME_${volume.volume.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`] = `${root}/${volumePath(volume)}`;
  return told;
}

function amounts(resources: Resources): Record<string, string> {
  const told: Record<string, string> = {};
  for (const { name, scalar } of resources) {
    if (scalar !== undefined && (name === 'cpus' || name === 'mem' || name === 'disk' || name === 'gpus')) {
      told[`MESQ_${name.toUpperCase()}`] = formatScalar(scalar);
    }
  }
  return told;
}

/** Only what was written as a limit (docs/isolation.md). */
function limits(written: Run['info']['limits'] = {}): Record<string, string> {
  const told: Record<string, string> = {};
  for (const [name, limit] of Object.entries(written))
    if (limit !== undefined)
      told[`MESQ_${name.toUpperCase()}_LIMIT`] = limit === 'unlimited' ? limit : formatScalar(limit);
  return told;
}

/** `MESQ_PORT` and `MESQ_PORT0` are the first, `MESQ_PORT1` the second, … */
function ports(resources: Resources): Record<string, string> {
  const told: Record<string, string> = {};
  let count = 0;
  for (const { name, ranges } of resources) {
    if (name !== 'ports' || ranges === undefined) continue;
    for (const [begin, end] of ranges) {
      for (let port = begin; port <= end; port++, count++) {
        if (count === 0) told['MESQ_PORT'] = String(port);
        told[`MESQ_PORT${count}`] = String(port);
      }
    }
  }
  return told;
}
