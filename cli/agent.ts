import { Fault } from '../protocol/faults.ts';
import { formatResources } from '../protocol/resources.ts';
import { bulkBudgetOf } from './bulk-budget.ts';
import { LEVELS, logLevelOf } from './log-level.ts';
import { notice } from './output.ts';
import { isService, serviceEnd } from './service-patience.ts';
import { stopSignal } from './stop-signal.ts';
import type { Verb } from './verb.ts';

interface AgentOptions {
  readonly master?: readonly string[];
  readonly data: string;
  readonly name?: string;
  readonly resources?: string;
  readonly attributes?: string;
  readonly devices?: string;
  readonly slots?: string;
  readonly health?: string;
  readonly powerMode?: string;
  readonly sysroot?: string;
  readonly metered?: boolean;
  readonly bulkBudget?: string;
  readonly taskUser?: string;
  readonly cgroups: boolean;
  readonly namespaces?: string;
  readonly exec: boolean;
  readonly containers?: string;
  readonly allowMounts?: readonly string[];
  readonly imageCache?: string;
  readonly artifactCache?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly log: string;
  readonly logFile?: string;
  readonly firmware?: string;
  readonly device?: string;
  readonly deviceToken?: string;
  readonly tokens?: string;
}

/** `mesq agent`: one agent, until it is told to stop. Its tasks run on without it, and it finds them again. */
export const agent: Verb = {
  examples: [
    'mesq agent --master mqtt://127.0.0.1:1883 --data /var/lib/mesq/agent',
    "mesq agent --master mqtts://m1:8883,mqtts://m2:8883 --data DIR --resources 'cpus:2;mem:1024' --attributes site:roof",
    'mesq agent --firmware tasmota --device mqtt://broker:1883/plug1 --data /var/lib/mesq/devices',
  ],
  verbs: {
    install: {
      summary: 'make the agent a service of this machine',
      load: async () => (await import('./agent-install.ts')).agentInstall,
    },
    uninstall: {
      summary: 'remove the service, and what it kept',
      load: async () => (await import('./agent-uninstall.ts')).agentUninstall,
    },
    stats: {
      summary: 'show what an agent has sent, written and used',
      load: async () => (await import('./agent-stats.ts')).agentStats,
    },
    upgrade: {
      summary: 'move the service to another version, and back where that fails',
      load: async () => (await import('./agent-upgrade.ts')).agentUpgrade,
    },
  },
  exits: { 0: 'it was told to stop; its tasks go on', 5: 'an operator declared it gone for ever' },
  configure: (command) => {
    const gather = (value: string, before: string[] = []): string[] => [...before, value];
    command
      .option('--master <url>', 'masters: mqtt://host:1883[,…]; as --url', gather)
      .requiredOption('--data <dir>', 'its data folder, of its own')
      .option('--name <name>', "its name in the cluster (default: the token's, else the hostname)")
      .option('--resources <list>', 'cpus:4;mem:2048;ports:[31000-32000]; the rest is detected')
      .option('--attributes <list>', 'site:roof;rack:2')
      .option('--devices <list>', 'only these GPUs and accelerators: gpus/ID,hailo/ID, or none (default: all)')
      .option('--slots <list>', 'gpus:4: so many tasks share one of that kind (default 1)')
      .option('--health <list>', 'thresholds, hot:85;battery-low:0.3;throttled:never (docs/firmware-adapters.md)')
      .option('--power-mode <mode>', 'switch a Jetson to this mode of nvpmodel first')
      .option('--sysroot <dir>', 'read /proc, /sys and /etc below it')
      .option('--metered', 'the link costs money by the byte: speak seldom')
      .option(
        '--bulk-budget <size>',
        'logs and files sent, artifacts fetched, a day: 20M, or none (default none; metered 5M)',
      )
      .option(
        '--task-user <name>',
        'whom tasks run as, where the agent is root (default mesq-task, where there is one)',
      )
      .option('--namespaces <list>', 'what each task has for itself, of mount, ipc, uts and net (default nothing)')
      .option('--no-cgroups', 'hold tasks to no limits by control groups, though the machine has them')
      .option('--no-exec', 'let nobody start programs beside tasks (mesq exec)')
      .option('--containers <socket>', 'of Docker or Podman, or none (default: where they are usually)')
      .option(
        '--image-cache <size>',
        'room of images that it has fetched; beyond it, those no task needs go (default 4G)',
      )
      .option('--allow-mounts <path...>', 'folders of this machine that containers may be given (default none)')
      .option('--artifact-cache <size>', 'kept of what tasks fetched (default a tenth of the disk, at most 2G)')
      .option('--tls-cert <file>', 'PEM: a certificate of its name, instead of a token')
      .option('--tls-key <file>', 'PEM, of that certificate')
      .option('--firmware <name>', 'tasmota or esphome: stands for devices that run it (docs/devices-as-agents.md)')
      .option('--device <url>', 'mqtt://broker/TOPIC: that device; mqtt://broker: all on it, each an agent of its own')
      .option('--device-token <name:password>', 'for the broker of the devices')
      .option('--tokens <file>', 'name:secret a line: the tokens of the agents that devices may be')
      .option('--log <level>', LEVELS.join(', '), 'info')
      .option('--log-file <file>', 'the log goes there: at most 1 MB, and the 1 MB before it in FILE.old');
  },
  run: async (context, command) => {
    const written = command.opts<AgentOptions>();
    const logLevel = logLevelOf(written.log);
    if (logLevel instanceof Fault) return logLevel;
    const { urls, token, ca, prefix, timeoutMs } = context.options;
    const masters = written.master?.flatMap((text) => text.split(',')).filter((url) => url !== '') ?? urls;
    const { data, name, resources, attributes, devices, slots, health, powerMode } = written;
    const { sysroot, metered, tlsCert, tlsKey } = written;
    const { taskUser, cgroups, namespaces, exec } = written;
    const { containers, allowMounts, imageCache, artifactCache } = written;
    const stopped = stopSignal(context.terminal);
    const { firmware, device, deviceToken, tokens } = written;
    if (firmware !== undefined || device !== undefined) {
      if (firmware === undefined || device === undefined)
        return new Fault('BAD_USAGE', '--firmware and --device go together');
      const { startDevices } = await import('./start-devices.ts');
      const devices = await startDevices({
        ...{ masters, data, prefix, logLevel, firmware, device },
        ...(name === undefined ? {} : { name }),
        ...(resources === undefined ? {} : { resources }),
        ...(attributes === undefined ? {} : { attributes }),
        ...(metered === undefined ? {} : { metered }),
        ...(token === undefined ? {} : { token }),
        ...(ca === undefined ? {} : { ca }),
        ...(deviceToken === undefined ? {} : { deviceToken }),
        ...(tokens === undefined ? {} : { tokens }),
      });
      if (devices instanceof Fault) return devices;
      await notice(context, `listening for devices with ${firmware} on ${device}`);
      const failure = await Promise.race([stopped, devices.failed]);
      await devices.stop();
      return failure ?? 0;
    }
    const bulkBudget = bulkBudgetOf(written.bulkBudget, metered === true);
    if (bulkBudget instanceof Fault) return bulkBudget;
    const { startAgent } = await import('./start-agent.ts');
    const running = await startAgent({
      masters,
      data,
      prefix,
      logLevel,
      cgroups,
      ...(namespaces === undefined ? {} : { namespaces }),
      exec,
      ...(taskUser === undefined ? {} : { taskUser }),
      timeoutMs,
      version: context.terminal.version,
      service: isService(context.terminal.environment),
      connect: context.terminal.connect,
      ...(name === undefined ? {} : { name }),
      ...(resources === undefined ? {} : { resources }),
      ...(attributes === undefined ? {} : { attributes }),
      ...(devices === undefined ? {} : { devices }),
      ...(slots === undefined ? {} : { slots }),
      ...(health === undefined ? {} : { health }),
      ...(powerMode === undefined ? {} : { powerMode }),
      ...(sysroot === undefined ? {} : { sysroot }),
      ...(metered === undefined ? {} : { metered }),
      ...(bulkBudget === undefined ? {} : { bulkBudget }),
      ...(written.logFile === undefined ? {} : { logFile: written.logFile }),
      ...(containers === undefined ? {} : { containers }),
      ...(allowMounts === undefined ? {} : { allowMounts }),
      ...(imageCache === undefined ? {} : { imageCache }),
      ...(artifactCache === undefined ? {} : { artifactCache }),
      ...(token === undefined ? {} : { token }),
      ...(ca === undefined ? {} : { ca }),
      ...(tlsCert === undefined ? {} : { tlsCert }),
      ...(tlsKey === undefined ? {} : { tlsKey }),
    });
    const endOf = (fault: Fault): Promise<Fault | 0> =>
      serviceEnd(context.terminal, fault, stopped, (text) => void notice(context, text));
    if (running instanceof Fault) return await endOf(running);
    await notice(context, `agent ${running.name} offers ${formatResources(running.resources)}`);
    const fault = await Promise.race([stopped, running.failed]);
    await running.stop();
    return fault === undefined ? 0 : await endOf(fault);
  },
};
