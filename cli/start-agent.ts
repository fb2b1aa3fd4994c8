import { mkdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { startAgent as startAgentShell } from '../agent/agent.ts';
import { BusError } from '../io/bus.ts';
import type { LateEngine } from '../io/late-engine.ts';
import { type Launcher, LauncherError } from '../io/launcher.ts';
import type { LineListener } from '../io/line-socket.ts';
import type { ClientTls } from '../io/node/broker-stream.ts';
import { systemClock } from '../io/node/clock.ts';
import { systemBrotli, systemDeflate } from '../io/node/compression.ts';
import { launchContainers } from '../io/node/container-launcher.ts';
import { systemDigest } from '../io/node/digest.ts';
import { optimize } from '../io/node/engine.ts';
import { attachLauncher } from '../io/node/launcher.ts';
import { listenLines } from '../io/node/line-socket.ts';
import type { LogLevel } from '../io/node/log.ts';
import { connectMqttBus } from '../io/node/mqtt-bus.ts';
import { openOutputFile } from '../io/node/output-file.ts';
import { systemProber } from '../io/node/prober.ts';
import { processFacts } from '../io/node/process-facts.ts';
import { systemRandom } from '../io/node/random.ts';
import { sandboxFiles } from '../io/node/sandbox-files.ts';
import { fileStorage } from '../io/node/storage.ts';
import { volumeFolders } from '../io/node/volume-folders.ts';
import type { OutputFile } from '../io/output-file.ts';
import { StorageError } from '../io/storage.ts';
import { ARTIFACTS_ATTRIBUTE } from '../protocol/artifact.ts';
import { mergeAttributes } from '../protocol/attributes.ts';
import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { isJoinToken } from '../protocol/operator.ts';
import type { Resources } from '../protocol/resources.ts';
import { nameOf } from './common-options.ts';
import { REFUSED_MS } from './service-patience.ts';
import { type AgentLog, agentLog } from './start-agent-log.ts';
import { type ArtifactWishes, artifactsOf } from './start-artifacts.ts';
import { contactNotes } from './start-contact-notes.ts';
import { allowedMounts, type ContainerOptions, engineOf, imageCacheBytes, withEngine } from './start-containers.ts';
import { takeDataFolder } from './start-data-folder.ts';
import { readNamed } from './start-file-words.ts';
import { isolationAttributes, letInto, letThrough, namespacesOf, taskUserOf } from './start-isolation.ts';
import { speakerOf } from './start-join.ts';
import {
  type MachineOptions,
  type MachineWishes,
  machineWishes,
  readyMachine,
  sysrootProblem,
} from './start-machine.ts';
import { refusalsOf } from './start-refusals.ts';
import { execAttribute, sandboxShells } from './start-shells.ts';
import type { Terminal } from './terminal.ts';

export interface StartAgentOptions extends MachineOptions, ContainerOptions, ArtifactWishes {
  /** URLs of masters. */
  readonly masters: readonly string[];
  readonly data: string;
  /** Default: the token's, else the hostname. */
  readonly name?: string;
  /** `name:secret`. */
  readonly token?: string;
  /** PEM file of authorities to trust. */
  readonly ca?: string;
  /** PEM files of a certificate whose common name is the agent's, and its key: instead of a token. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly prefix?: string;
  /** Whom tasks run as. Default, for root: `mesq-task` where there is one. */
  readonly taskUser?: string;
  /** False: no control groups, though the machine may have them. */
  readonly cgroups?: boolean;
  /** `mount,ipc,uts,net`: what tasks have for themselves. Default nothing. */
  readonly namespaces?: string;
  /** False: nobody starts anything beside tasks. */
  readonly exec?: boolean;
  readonly logLevel?: LogLevel;
  /** Where the log goes; default: standard error. */
  readonly logFile?: string;
  /** Bytes of logs and files a day; default: as many as are asked for. */
  readonly bulkBudget?: number;
  readonly version: string;
  /** Started by a service manager: nobody looks at its end, and who is refused tries on, ever more seldom. Default false. */
  readonly service?: boolean;
  /** Longest wait for a master's answer where it joins. */
  readonly timeoutMs: number;
  /** Reaches the masters as a client, to join. */
  readonly connect: Terminal['connect'];
}

export interface RunningAgent {
  readonly name: string;
  readonly resources: Resources;
  /** Resolves with a fault where the agent must end: a person has to act. */
  readonly failed: Promise<Fault>;
  stop(): Promise<void>;
}

/** Puts an agent together: the machine, the launcher, the link. Returns a fault where a person must act. */
export async function startAgent(options: StartAgentOptions): Promise<RunningAgent | Fault> {
  const data = resolve(options.data);
  const wishes = machineWishes(options);
  if (wishes instanceof Fault) return wishes;
  const wrong = sysrootProblem(options);
  if (wrong !== undefined) return wrong;
  const name = askedName(options);
  if (name instanceof Fault) return name;
  const tls = await tlsFiles(options);
  if (tls instanceof Fault) return tls;
  const lock = await takeDataFolder(data);
  if (lock instanceof Fault) return lock;
  const logging = agentLog(options.logLevel ?? 'info', options.logFile);
  if (logging instanceof Fault) {
    await lock.release();
    return logging;
  }
  const running = await start({ options, data, wishes, asked: name, tls, logging }).catch((error: unknown) => {
    if (error instanceof BusError || error instanceof LauncherError || error instanceof StorageError)
      return faultOf(error);
    throw error;
  });
  if (running instanceof Fault) {
    logging.close();
    await lock.release();
    return running;
  }
  return {
    ...running,
    stop: async () => {
      await running.stop();
      logging.close();
      await lock.release();
    },
  };
}

/** The name it was given, else its token's, else the hostname. Fault BAD_USAGE where its token is another's. */
export function askedName({ token, name: given }: { token?: string | undefined; name?: string }): string | Fault {
  const joining = token !== undefined && isJoinToken(token);
  const owner = joining ? undefined : nameOf(token);
  const name = parseId(given ?? owner ?? idOf(hostname()), 'the agent name');
  if (name instanceof Fault || owner === undefined || owner === name) return name;
  return new Fault(
    'BAD_USAGE',
    `the token is for ${owner}: with it no agent can speak as ${name}`,
    `Leave --name out, or ask an operator for mesq token create --role agent --name ${name}.`,
  );
}

interface Checked {
  readonly options: StartAgentOptions;
  readonly data: string;
  readonly wishes: MachineWishes;
  /** The name it was given, or would like. */
  readonly asked: string;
  readonly tls: ClientTls;
  readonly logging: AgentLog;
}

/** Everything but the lock of the data folder. */
async function start(checked: Checked): Promise<RunningAgent | Fault> {
  const { options, data, asked, logging } = checked;
  const { log } = logging;
  const user = taskUserOf(options.taskUser, log);
  if (user instanceof Fault) return user;
  const namespaces = namespacesOf(options.namespaces);
  if (namespaces instanceof Fault) return namespaces;
  const mounts = allowedMounts(options);
  if (mounts instanceof Fault) return mounts;
  const imageBytes = imageCacheBytes(options);
  if (imageBytes instanceof Fault) return imageBytes;
  const artifacts = artifactsOf(options, data, user);
  if (artifacts instanceof Fault) return artifacts;
  const engine = await engineOf(options, log);
  const root = join(data, 'tasks');
  await mkdir(root, { recursive: true, mode: 0o700 });
  if (user !== undefined) await letInto(data);
  const output = (folder: string, stream: 'stdout' | 'stderr') =>
    openOutputFile(join(root, folder, stream), LIMITS.outputBytes);
  const processes = await attachLauncher({
    root,
    folder: join(data, 'launcher'),
    log,
    ...(options.cgroups === false ? {} : { cgroups: asked }),
    ...(user === undefined ? {} : { user }),
    namespaces,
  });
  const launcher = engine === undefined ? processes : await launchContainers({ engine, root, processes, output, log });
  launcher.onStarted(optimize);
  const prepared = { ...checked, user, mounts, imageBytes, artifacts, engine, root, output, launcher };
  const running = await startOn(prepared).catch(async (error: unknown) => {
    await launcher.stop();
    throw error;
  });
  // Whoever never ran leaves nobody behind that waits for tasks.
  if (running instanceof Fault) await launcher.stop();
  return running;
}

interface Prepared extends Checked {
  readonly user: Exclude<ReturnType<typeof taskUserOf>, Fault>;
  readonly mounts: readonly string[];
  readonly imageBytes: number;
  readonly artifacts: Exclude<ReturnType<typeof artifactsOf>, Fault>;
  readonly engine: LateEngine | undefined;
  /** Folder of the task folders. */
  readonly root: string;
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  readonly launcher: Launcher;
}

/** With a launcher, which is the caller's to end where this fails. */
async function startOn(prepared: Prepared): Promise<RunningAgent | Fault> {
  const { options, data, wishes, asked, tls, logging } = prepared;
  const { user, mounts, imageBytes, artifacts, engine, root, output, launcher } = prepared;
  const { log } = logging;
  const known = [
    ...isolationAttributes(launcher.isolation),
    ...(options.exec === false ? [] : [execAttribute()]),
    { name: ARTIFACTS_ATTRIBUTE, text: 'yes' },
  ];
  const ready = await readyMachine(options, data, { ...wishes, attributes: mergeAttributes(known, wishes.attributes) });
  if (ready instanceof Fault) return ready;
  const { probe } = ready;
  const machine = withEngine(ready.machine, engine);
  for (const note of [...probe.notes, ...launcher.isolation.notes]) log.info('probe', { note });
  const speaker = await speakerOf({
    data,
    token: options.token,
    name: asked,
    exact: options.name !== undefined,
    identity: probe.identity,
    urls: options.masters,
    prefix: options.prefix ?? 'mesq',
    ca: options.ca,
    timeoutMs: options.timeoutMs,
    connect: options.connect,
  });
  if (speaker instanceof Fault) return speaker;
  const { name } = speaker;
  let fail: (fault: Fault) => void = () => undefined;
  const failed = new Promise<Fault>((settle) => {
    fail = settle;
  });
  const lines = await executorSocket(data);
  if (lines instanceof Fault) return lines;
  if (user !== undefined) await letThrough(user, data);
  const credentials = credentialsOf(speaker.token, name);
  // A copy of the folder on this machine is another installation: only what is the same may take over a connection.
  const { ino } = await stat(data);
  const refusals = refusalsOf(name, log, options.service === true ? undefined : (fault) => fail(fault));
  const agent = await startAgentShell({
    name,
    prefix: options.prefix ?? 'mesq',
    urls: options.masters,
    identity: probe.identity,
    boot: probe.boot,
    hostname: probe.hostname,
    metered: options.metered ?? false,
    machine,
    connect: (agentId, will, opening) => {
      const installation = systemDigest
        .sha256(new TextEncoder().encode(`${agentId} ${probe.identity.machine} ${probe.identity.serial} ${ino}`))
        .slice(0, 16);
      const bus = connectMqttBus({
        urls: options.masters,
        clientId: `${name}~${installation}`,
        ...credentials,
        ...tls,
        ...keepAlivesOf(options.metered === true),
        // Metered, every attempt costs.
        ...(options.metered === true ? { fewBytes: true } : { backOffCapMs: TIMES.reconnectMs }),
        ...(options.service === true ? { refusedCapMs: REFUSED_MS } : {}),
        will,
        opening,
        onRefused: refusals.refused,
        clock: systemClock,
        random: systemRandom,
        log,
      });
      bus.onConnected(refusals.connected);
      return bus;
    },
    storage: fileStorage(data),
    launcher,
    lines,
    prober: systemProber(LIMITS.checkCommands, user),
    output,
    sandboxes: sandboxFiles(root),
    ...(engine === undefined ? {} : { containers: { engine, mounts, mostBytes: imageBytes } }),
    artifacts,
    ...(options.exec === false ? {} : { shells: sandboxShells(data, launcher.isolation, user, engine) }),
    pathOf: (folder) => join(data, 'tasks', folder),
    volumes: volumeFolders(join(data, 'volumes'), user),
    clock: systemClock,
    random: systemRandom,
    log,
    ...(options.bulkBudget === undefined ? {} : { bulkBudget: options.bulkBudget }),
    deflate: systemDeflate,
    brotli: systemBrotli,
    // Other agents do without zlib until somebody reads from them.
    ...(options.metered === true ? { packing: (await import('../io/node/message-packing.ts')).systemPacking } : {}),
    bookkeeping: {
      tls: options.masters.some((url) => /^(mqtts|wss):/.test(url)),
      process: processFacts,
      log: logging.counts,
    },
    onFailed: (fault) => fail(fault),
    onContact: contactNotes({ name, version: options.version, log }),
  });
  if (agent instanceof Fault) {
    await lines.close();
    return agent;
  }
  return { name, resources: machine.found.resources, failed, stop: () => agent.stop() };
}

async function executorSocket(data: string): Promise<LineListener | Fault> {
  try {
    return await listenLines(join(data, 'executors'), 'socket');
  } catch (error) {
    return new Fault('DISK', `executors have no socket in ${data}: ${error instanceof Error ? error.message : error}`);
  }
}

/** What it trusts and shows, from the files that were named. */
export async function tlsFiles({
  ca,
  tlsCert,
  tlsKey,
}: Pick<StartAgentOptions, 'ca' | 'tlsCert' | 'tlsKey'>): Promise<ClientTls | Fault> {
  const texts: { ca?: string; certificate?: string; key?: string } = {};
  for (const [field, option, path] of [
    ['ca', '--ca', ca],
    ['certificate', '--tls-cert', tlsCert],
    ['key', '--tls-key', tlsKey],
  ] as const) {
    if (path === undefined) continue;
    const text = await readNamed(option, path);
    if (text instanceof Fault) return text;
    texts[field] = text;
  }
  return texts;
}

export function faultOf(error: BusError | LauncherError | StorageError): Fault {
  if (error instanceof StorageError) return new Fault('DISK', error.message);
  if (error instanceof LauncherError) return new Fault('UNSUPPORTED', error.message);
  return new Fault(
    error.code === 'INSECURE' ? 'INSECURE' : error.code === 'BAD_URL' ? 'BAD_USAGE' : 'UNREACHABLE',
    error.message,
  );
}

/** In seconds: the first keep-alive, and what it may grow to. */
export function keepAlivesOf(metered: boolean): { readonly keepAliveS: number; readonly longestKeepAliveS: number } {
  const [firstMs, longestMs] = metered
    ? [TIMES.keepAliveMeteredMs, TIMES.longestKeepAliveMeteredMs]
    : [TIMES.keepAliveMs, TIMES.longestKeepAliveMs];
  return { keepAliveS: firstMs / 1_000, longestKeepAliveS: longestMs / 1_000 };
}

export function credentialsOf(token: string | undefined, name: string): { username: string; password?: string } {
  if (token === undefined) return { username: name };
  const at = token.indexOf(':');
  return at < 0 ? { username: name, password: token } : { username: token.slice(0, at), password: token.slice(at + 1) };
}

/** A hostname as an id: what is not allowed becomes `-`. */
export function idOf(text: string): string {
  const id = text
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return id === '' ? 'agent' : id;
}
