import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BusError } from '../io/bus.ts';
import { parseBrokerUrls } from '../io/node/broker-url.ts';
import { findUser } from '../io/node/users.ts';
import { Fault } from '../protocol/faults.ts';
import { isJoinToken } from '../protocol/operator.ts';
import {
  droppedOptions,
  ENVIRONMENT_FILE,
  isOnThisMachine,
  knowsSubgroups,
  SERVICE,
  type ServiceSettings,
  serviceUnit,
} from './service-unit.ts';
import { askedName, faultOf, tlsFiles } from './start-agent.ts';
import { DEFAULT_USER } from './start-isolation.ts';
import { CREDENTIAL_FILE, JOIN_TOKEN_FILE } from './start-join.ts';
import { machineWishes, sysrootProblem } from './start-machine.ts';
import { diskFault, isBooted, makeOwnFolder, removeAll, runProgram, systemctl, writeFileOnce } from './start-system.ts';
import { CURRENT_PROGRAM, currentVersion, keepVersions, ownPackage, stageVersion, switchTo } from './start-versions.ts';

export const UNIT_PATH = `/etc/systemd/system/${SERVICE}`;
/** What makes the machine start it, as `systemctl enable` would. */
export const WANTED_PATH = `/etc/systemd/system/multi-user.target.wants/${SERVICE}`;
export const SETTINGS_FOLDER = '/etc/mesq';

export interface InstallOptions extends Omit<ServiceSettings, 'program' | 'subgroup'> {
  /** The machine, or a folder that stands for it: nothing is started there unless it says that systemd runs. */
  readonly root: string;
  /** An agent's own, or a join token; undefined: what it has stays. */
  readonly token: string | undefined;
  /** Options with a value by default alone, `--master`: another value before was dropped, and not changed. */
  readonly unsaid: readonly string[];
  /** Start it now. */
  readonly start: boolean;
}

export interface Installed {
  readonly version: string;
  /** What is another than before, as paths; as the machine sees them, without the root folder. */
  readonly changed: readonly string[];
  /** {@link droppedOptions} of the unit that was there; empty without one. */
  readonly dropped: readonly string[];
  /** Lines of `systemd-analyze verify`; undefined without it. */
  readonly verified: readonly string[] | undefined;
  /** `6.1 MEDIUM`, of `systemd-analyze security`: 0 is sealed off, 10 a program like any other. Undefined without it. */
  readonly exposure: string | undefined;
  readonly started: boolean;
  /** The Node of this machine that it is started with, and that the image does not have at that path. */
  readonly missingNode?: string;
  /** Whom its tasks run as. */
  readonly taskUser: string;
}

/**
 * Makes the agent a service. Done again, it writes what is another than before, and nothing else. What an agent refuses
 * at its start is refused here, by the same faults, before anything is written: nobody would see it refuse.
 */
export async function installService(options: InstallOptions): Promise<Installed | Fault> {
  try {
    return await install(options);
  } catch (error) {
    return diskFault(error);
  }
}

async function install(options: InstallOptions): Promise<Installed | Fault> {
  const { root, data, token } = options;
  if ((await stat(root).catch(() => undefined))?.isDirectory() !== true)
    return new Fault('BAD_USAGE', `--root ${root} is no folder`, 'Mount the image there first.');
  for (const checked of [machineWishes(options), askedName(options), await tlsFiles(options)])
    if (checked instanceof Fault) return checked;
  const at = (path: string): string => join(root, path);
  if (token === undefined && !hasCredential(options) && !options.masters.every(isOnThisMachine))
    return new Fault(
      'BAD_USAGE',
      'there is no token: masters on other machines let nobody in without one',
      'Set MESQ_TOKEN, or pass --token-file: mesq token create --role join --name NAME makes one.',
    );
  const plain = refusedUrl(options);
  if (plain !== undefined) return plain;
  const wrong = sysrootProblem(options, root);
  if (wrong !== undefined) return wrong;
  const from = await ownPackage();
  const version = await stageVersion(root, from);
  if (version instanceof Fault) return version;
  const before = await currentVersion(root);
  const changed: string[] = [];
  const write = async (path: string, text: string | Uint8Array, mode: number): Promise<void> => {
    if (await writeFileOnce(at(path), text, mode)) changed.push(path);
  };
  if (before?.name !== version.name) {
    await switchTo(root, version.name);
    changed.push(CURRENT_PROGRAM);
  }
  for (const folder of [SETTINGS_FOLDER, data]) await makeOwnFolder(at(folder));
  const kept = async (name: string, file: string | undefined): Promise<string | undefined> => {
    if (file === undefined) return undefined;
    await write(`${SETTINGS_FOLDER}/${name}`, await readFile(file), 0o600);
    return `${SETTINGS_FOLDER}/${name}`;
  };
  // A file of somebody's home, of a stick: the service has its own.
  const files = {
    ca: await kept('ca.pem', options.ca),
    tlsCert: await kept('agent.pem', options.tlsCert),
    tlsKey: await kept('agent.key', options.tlsKey),
  };
  if (token !== undefined && isJoinToken(token)) {
    // Only whoever has not joined needs it, and removes it then.
    if (!existsSync(at(`${data}/${CREDENTIAL_FILE}`))) await write(`${data}/${JOIN_TOKEN_FILE}`, `${token}\n`, 0o600);
    if (await removeAll(at(ENVIRONMENT_FILE))) changed.push(ENVIRONMENT_FILE);
  } else if (token !== undefined) await write(ENVIRONMENT_FILE, `MESQ_TOKEN=${token}\n`, 0o600);
  const { ca: _ca, tlsCert: _cert, tlsKey: _key, ...rest } = options;
  const named = Object.fromEntries(Object.entries(files).filter(([, path]) => path !== undefined));
  const unit = serviceUnit({ ...rest, ...named, program: [CURRENT_PROGRAM], subgroup: await hasSubgroups(root) });
  const dropped = droppedOptions(await readFile(at(UNIT_PATH), 'utf8').catch(() => ''), unit, options.unsaid);
  await write(UNIT_PATH, unit, 0o644);
  if (await enable(root)) changed.push(WANTED_PATH);
  await keepVersions(root, [version.name, ...(before === undefined ? [] : [before.name])]);
  const started = options.start && isBooted(root);
  if (started) {
    const fault = await startService(changed.length > 0);
    if (fault !== undefined) return fault;
  }
  const lacksNode = !existsSync(join(from, 'bin/node')) && !existsSync(at(process.execPath));
  const taskUser = findUser(DEFAULT_USER, at('/etc'))?.name ?? 'root';
  return {
    ...{ version: version.version, changed, dropped, ...(await examined(root)), started, taskUser },
    ...(lacksNode ? { missingNode: process.execPath } : {}),
  };
}

/** An image's systemd cannot be asked: the name of its library says which it is. */
async function hasSubgroups(root: string): Promise<boolean> {
  if (isBooted(root)) return knowsSubgroups((await runProgram('systemctl', ['--version'])).stdout);
  for (const folder of [
    'usr/lib/systemd',
    ...(await readdir(join(root, 'usr/lib')).catch(() => [])).map((name) => `usr/lib/${name}/systemd`),
  ])
    for (const name of await readdir(join(root, folder)).catch(() => [])) {
      const [, version] = /^libsystemd-shared-(\d+)/.exec(name) ?? [];
      if (version !== undefined) return knowsSubgroups(`systemd ${version}`);
    }
  return false;
}

function hasCredential(options: InstallOptions): boolean {
  return options.tlsCert !== undefined || keepsToken(options);
}

function keepsToken({ root, data }: InstallOptions): boolean {
  const files = [`${data}/${CREDENTIAL_FILE}`, `${data}/${JOIN_TOKEN_FILE}`, ENVIRONMENT_FILE];
  return files.some((path) => existsSync(join(root, path)));
}

/** What the agent's connection would refuse: a token, a new one or the one that it has, travels over no plain link. */
function refusedUrl(options: InstallOptions): Fault | undefined {
  try {
    parseBrokerUrls(options.masters, options.token !== undefined || keepsToken(options));
    return undefined;
  } catch (error) {
    if (error instanceof BusError) return faultOf(error);
    throw error;
  }
}

async function startService(changed: boolean): Promise<undefined | Fault> {
  const reloaded = await systemctl('daemon-reload');
  if (reloaded !== undefined) return reloaded;
  return changed ? systemctl('restart', SERVICE) : systemctl('start', SERVICE);
}

async function enable(root: string): Promise<boolean> {
  const link = join(root, WANTED_PATH);
  if ((await readlink(link).catch(() => undefined)) === UNIT_PATH) return false;
  await mkdir(join(link, '..'), { recursive: true });
  await rm(`${link}.new`, { force: true });
  await symlink(UNIT_PATH, `${link}.new`);
  await rename(`${link}.new`, link);
  return true;
}

/** What systemd's own examiner says of the unit. */
async function examined(root: string): Promise<Pick<Installed, 'verified' | 'exposure'>> {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-unit-'));
  try {
    // It looks for the program where this machine has it.
    const unit = join(folder, SERVICE);
    const text = await readFile(join(root, UNIT_PATH), 'utf8');
    await writeFile(unit, text.replaceAll(CURRENT_PROGRAM, join(root, CURRENT_PROGRAM)));
    const verified = await runProgram('systemd-analyze', ['verify', unit]);
    if (verified.code === undefined) return { verified: undefined, exposure: undefined };
    const said = `${verified.stdout}${verified.stderr}`.split('\n').filter((line) => line.includes(SERVICE));
    // From systemd 250 on; before, only what runs can be asked about.
    const security = await runProgram('systemd-analyze', ['security', '--no-pager', '--offline=true', unit]);
    const [, exposure] = /exposure level for .*: (\d+\.\d+ [A-Z]+)/.exec(security.stdout) ?? [];
    return { verified: said.map((line) => line.replaceAll(`${folder}/`, '')), exposure };
  } finally {
    await removeAll(folder);
  }
}
