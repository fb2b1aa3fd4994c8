import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionLauncher } from '../agent/action-launcher.ts';
import { startAgent } from '../agent/agent.ts';
import { THRESHOLDS } from '../agent/health/conditions.ts';
import type { Found } from '../agent/machine-watch.ts';
import type { Reported } from '../agent/reporting/significance.ts';
import type { DeviceLink } from '../firmware-adapters/device-link.ts';
import type { Will } from '../io/bus.ts';
import type { LineListener } from '../io/line-socket.ts';
import type { Log } from '../io/log.ts';
import type { ClientTls } from '../io/node/broker-stream.ts';
import { systemClock } from '../io/node/clock.ts';
import { optimize } from '../io/node/engine.ts';
import { connectMqttBus, type MqttBus } from '../io/node/mqtt-bus.ts';
import { openOutputFile } from '../io/node/output-file.ts';
import { systemRandom } from '../io/node/random.ts';
import { removeFolders } from '../io/node/remove-folders.ts';
import { sandboxFiles } from '../io/node/sandbox-files.ts';
import { fileStorage } from '../io/node/storage.ts';
import { taskFolders } from '../io/node/task-folders.ts';
import { volumeFolders } from '../io/node/volume-folders.ts';
import type { Prober } from '../io/prober.ts';
import { mergeAttributes } from '../protocol/attributes.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { parseResources, type Resources } from '../protocol/resources.ts';
import { credentialsOf, keepAlivesOf } from './start-agent.ts';
import { refusalsOf } from './start-refusals.ts';

export interface DeviceAgentOptions {
  /** The device's, for ever. */
  readonly id: string;
  /** The agent's. */
  readonly name: string;
  /** The folder of the process; each device has one of its own in it. */
  readonly data: string;
  readonly given: Reported;
  readonly masters: readonly string[];
  readonly prefix: string;
  readonly metered: boolean;
  readonly token?: string;
  readonly tls: ClientTls;
  readonly link: DeviceLink;
  readonly log: Log;
  readonly onFailed: (fault: Fault) => void;
}

/** The agent of one device. */
export interface DeviceAgent {
  /** The device is there, or it is not: then its agent leaves the cluster until it is, and what is under way goes on. */
  changed(online: boolean): void;
  stop(): Promise<void>;
}

/** What a task of `mesq run` asks for unless it is told otherwise: one action at a time. */
const OFFERED = 'cpus:1;mem:128';

/** Nobody connects: there are no programs. */
const NO_LINES: LineListener = {
  pathFrom: () => '',
  onConnection: () => undefined,
  close: () => Promise.resolve(),
};
const NO_PROBES: Prober = {
  probe: () => Promise.resolve({ trouble: 'a device runs no programs that could be asked' }),
  stop: () => undefined,
};

export async function startDeviceAgent(options: DeviceAgentOptions): Promise<DeviceAgent | Fault> {
  const { id, name, given, link, log, prefix, metered, masters } = options;
  const folder = join(options.data, 'devices', id);
  const tasks = join(folder, 'tasks');
  await mkdir(tasks, { recursive: true, mode: 0o700 });
  const offered = parseResources(OFFERED);
  if (offered instanceof Fault) return offered;
  const resources = replaced(offered, given.resources);
  const now = (): Found => ({
    resources,
    attributes: mergeAttributes(link.device(id)?.attributes ?? [], given.attributes),
    devices: [],
  });
  const launcher = new ActionLauncher({
    storage: fileStorage(tasks),
    folders: () => taskFolders(tasks),
    remove: (folders) => removeFolders(folders.map((one) => join(tasks, one))),
    run: (argv, progress) => link.run(id, argv, progress),
    pid: process.pid,
    log,
  });
  launcher.onStarted(optimize);
  let bus: MqttBus | undefined;
  let willOf: (() => Will) | undefined;
  const refusals = refusalsOf(name, log, options.onFailed);
  const agent = await startAgent({
    ...{ name, prefix, metered, launcher, log },
    urls: masters,
    identity: { machine: '', serial: id },
    // What an action has done is not undone by a reboot, of the device or of this machine.
    boot: '',
    hostname: link.device(id)?.hostname ?? name,
    machine: { found: now(), probe: () => Promise.resolve(now()), thresholds: THRESHOLDS },
    connect: (_agent, will) => {
      willOf = will;
      bus = connectMqttBus({
        urls: masters,
        clientId: `${name}~${id}`,
        ...credentialsOf(options.token, name),
        ...options.tls,
        ...keepAlivesOf(metered),
        ...(metered ? {} : { backOffCapMs: TIMES.reconnectMs }),
        will,
        onRefused: refusals.refused,
        clock: systemClock,
        random: systemRandom,
        log,
      });
      bus.onConnected(refusals.connected);
      return bus;
    },
    storage: fileStorage(folder),
    lines: NO_LINES,
    prober: NO_PROBES,
    output: (task, stream) => openOutputFile(join(tasks, task, stream), LIMITS.outputBytes),
    sandboxes: sandboxFiles(tasks),
    pathOf: (task) => join(tasks, task),
    volumes: volumeFolders(join(folder, 'volumes')),
    clock: systemClock,
    random: systemRandom,
    onFailed: options.onFailed,
  });
  if (agent instanceof Fault) return agent;
  let there = true;
  return {
    changed: (online) => {
      if (online === there || bus === undefined) return;
      there = online;
      if (online) {
        launcher.wake();
        // Gone only for a moment, it may still be connected, and its farewell sent.
        bus.rest();
        return bus.wake();
      }
      launcher.rest();
      log.info('device gone', { device: id, name });
      const will = willOf?.();
      const leave = (): void => bus?.rest();
      // Behind a broker of somebody else's, a polite leave alone would go unnoticed.
      if (will === undefined || !bus.connected) return leave();
      bus.publish(will.topic, will.payload, { qos: 1 }).then(
        () => (there ? undefined : leave()),
        () => (there ? undefined : leave()),
      );
    },
    stop: () => agent.stop(),
  };
}

/** What a person named replaces what is offered of that name. */
function replaced(offered: Resources, given: Resources): Resources {
  const names = new Set(given.map(({ name }) => name));
  return [...given, ...offered.filter(({ name }) => !names.has(name))];
}
