import { SERVICE_VARIABLE } from './service-patience.ts';

/** What the unit of an agent is made of; every path is as the machine sees it. */
export interface ServiceSettings {
  /** The program and its first arguments. */
  readonly program: readonly string[];
  readonly masters: readonly string[];
  /** The agent's data folder. */
  readonly data: string;
  readonly prefix?: string;
  readonly name?: string;
  readonly resources?: string;
  readonly attributes?: string;
  readonly metered?: boolean;
  readonly sysroot?: string;
  readonly ca?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly log?: string;
  /** {@link knowsSubgroups} of the machine's systemd. Default false. */
  readonly subgroup?: boolean;
}

/** Since when a unit can name a subgroup for its own processes; before, the line would be one that systemd complains of. */
const SUBGROUPS_SINCE = 254;

/** Of what `systemctl --version` prints. */
export function knowsSubgroups(version: string): boolean {
  return Number(/^systemd (\d+)/.exec(version)?.[1] ?? 0) >= SUBGROUPS_SINCE;
}

export const SERVICE = 'mesq-agent.service';
/** Secrets alone: what stands on a command line everybody on the machine can read. */
export const ENVIRONMENT_FILE = '/etc/mesq/agent.env';
/** Of the service manager, below `/run`: gone when the service stops. */
export const RUNTIME_FOLDER = 'mesq-agent';

/**
 * The systemd unit of an agent, for systemd 245 (Ubuntu 20.04, JetPack 5) and newer. Its tasks live in the same control
 * group and the same sandbox, and outlive it: docs/install.md says what each line costs them.
 */
export function serviceUnit(settings: ServiceSettings): string {
  return `# Written by mesq agent install: changes are lost. To add some: systemctl edit ${SERVICE}
[Unit]
Description=Mesquite agent: runs tasks of a cluster on this machine
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${[...settings.program, ...argumentsOf(settings)].map(unitWord).join(' ')}
Environment=${SERVICE_VARIABLE}=yes
EnvironmentFile=-${ENVIRONMENT_FILE}
Restart=always
RestartSec=5
# A command line that nobody understands does not mend itself, and who was declared gone is.
RestartPreventExitStatus=2 5
RuntimeDirectory=${RUNTIME_FOLDER}
RuntimeDirectoryMode=0700
ReadWritePaths=${unitWord(settings.data)}
UMask=0077

# Tasks outlive their agent, in control groups that it makes itself; one that runs out of memory ends nobody else.
KillMode=process
SendSIGHUP=no
Delegate=yes
${settings.subgroup === true ? 'DelegateSubgroup=agent\n' : ''}OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=524288

# What tasks can live with. Not here, since it would take from them what they are for: devices (GPUs, GPIO, cameras),
# /sys (PWM, LEDs), namespaces (containers), writable and executable memory (every just-in-time compiler).
ProtectSystem=full
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectHostname=yes
NoNewPrivileges=yes
RestrictSUIDSGID=yes
PrivateMounts=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_CAN AF_BLUETOOTH
CapabilityBoundingSet=~${LEFT_OUT.join(' ')}
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`;
}

/** Capabilities that neither the agent nor what runs on it is to have: they act on the whole machine. */
const LEFT_OUT = [
  ...['CAP_AUDIT_CONTROL', 'CAP_AUDIT_READ', 'CAP_AUDIT_WRITE', 'CAP_BLOCK_SUSPEND', 'CAP_LINUX_IMMUTABLE'],
  ...['CAP_MAC_ADMIN', 'CAP_MAC_OVERRIDE', 'CAP_SYSLOG', 'CAP_SYS_BOOT', 'CAP_SYS_MODULE', 'CAP_SYS_PACCT'],
  ...['CAP_SYS_RAWIO', 'CAP_SYS_TIME', 'CAP_SYS_TTY_CONFIG', 'CAP_LEASE', 'CAP_WAKE_ALARM'],
];

function argumentsOf(settings: ServiceSettings): string[] {
  const { masters, data, prefix, name, resources, attributes, metered, sysroot, ca, tlsCert, tlsKey, log } = settings;
  const given = { prefix, name, resources, attributes, sysroot, ca, 'tls-cert': tlsCert, 'tls-key': tlsKey, log };
  return [
    ...['agent', '--master', masters.join(','), '--data', data],
    ...Object.entries(given).flatMap(([option, value]) => (value === undefined ? [] : [`--${option}`, value])),
    ...(metered === true ? ['--metered'] : []),
  ];
}

/**
 * A word of a unit's command line (systemd.service(5), Command lines; systemd.syntax(7)): quoted where it holds what
 * would end it, `%` and `$` doubled, since both would be filled in.
 */
export function unitWord(word: string): string {
  const doubled = word.replace(/\\/g, '\\\\').replace(/%/g, '%%').replace(/\$/g, '$$$$');
  if (/^[A-Za-z0-9_@%+=:,./~$-]+$/.test(doubled)) return doubled;
  return `"${doubled.replace(/"/g, '\\"').replace(/\n/g, '\\n').replace(/\t/g, '\\t')}"`;
}

/**
 * What the command line of one unit has and that of the next has not, as it would be written: `--attributes site:roof`.
 * Of an option in `unsaid` another value counts, too.
 */
export function droppedOptions(before: string, after: string, unsaid: readonly string[]): string[] {
  const kept = optionsOf(after);
  return [...optionsOf(before)]
    .filter(([option, value]) => !kept.has(option) || (unsaid.includes(option) && kept.get(option) !== value))
    .map(([option, value]) => (value === undefined ? option : `${option} ${value}`));
}

/** Its data folder; undefined where no unit says one. */
export function dataOf(unit: string): string | undefined {
  return optionsOf(unit).get('--data');
}

const FLAGS: ReadonlySet<string> = new Set(['--metered']);

/** Of a unit that {@link serviceUnit} wrote; a flag has no value. */
function optionsOf(unit: string): Map<string, string | undefined> {
  const [, line = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
  const words = (line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map(wordOfUnit);
  const options = new Map<string, string | undefined>();
  for (const [index, word] of words.entries()) {
    const next = words[index + 1];
    const previous = words[index - 1];
    const isValue = previous?.startsWith('--') === true && !FLAGS.has(previous);
    if (word.startsWith('--') && !isValue) options.set(word, FLAGS.has(word) ? undefined : next);
  }
  return options;
}

/** What {@link unitWord} was given. */
function wordOfUnit(written: string): string {
  const bare = written.startsWith('"') ? written.slice(1, -1) : written;
  const plain: Readonly<Record<string, string>> = { '\\n': '\n', '\\t': '\t', '%%': '%', $$: '$' };
  return bare.replace(/\\.|%%|\$\$/g, (pair) => plain[pair] ?? pair.slice(1));
}

/** In the image of another machine it is that one. */
export function isOnThisMachine(url: string): boolean {
  return /^\w+:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:|\/|$)/.test(url);
}
