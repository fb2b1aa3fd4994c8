import { LauncherError, type StartLimits, type TaskStart } from '../launcher.ts';
import { type SystemUser, userChange } from './users.ts';

/** How a start is confined by the `run` file itself. */
export interface RunConfinement {
  /** The beginning of its command line, which puts the rest into namespaces (namespaces.ts). Default none. */
  readonly namespaces?: readonly string[] | undefined;
  /** The task's process changes to it, and keeps none of root's rights; undefined: it stays what it is. */
  readonly user?: SystemUser | undefined;
  /** Without a control group for memory: each process may allocate so much (RLIMIT_DATA). */
  readonly allocatedBytes?: number | undefined;
  /** Without one for processes: so many of this user, together with those of other tasks (RLIMIT_NPROC). */
  readonly userProcesses?: number | undefined;
}

/**
 * Text that a shell reads as exactly `text`. Nothing is special between single quotes but the single quote itself
 * (POSIX XCU §2.2.2).
 */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Names that bash sets, computes or refuses to change: they reach the program through env(1). So do names no shell has. */
const BASH_OWN =
  /^(BASH.*|COMP_.*|DIRSTACK|EPOCHREALTIME|EPOCHSECONDS|EUID|FUNCNAME|GLOBIGNORE|GROUPS|HISTCMD|IFS|LINENO|OPTARG|OPTERR|OPTIND|PIPESTATUS|POSIXLY_CORRECT|PPID|RANDOM|SECONDS|SHELLOPTS|SHLVL|SRANDOM|UID|_)$/;
const SHELL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/**
 * What decides which program or library is loaded, or what a library reads and writes (glibc: sysdeps/generic/unsecvars.h,
 * which takes them from set-user-id programs): root must not have them of a task.
 */
const STEERING =
  /^(PATH|LD_.*|GCONV_PATH|GETCONF_DIR|GLIBC_TUNABLES|HOSTALIASES|LOCALDOMAIN|LOCPATH|MALLOC_.*|NIS_PATH|NLSPATH|RESOLV_HOST_CONF|RES_OPTIONS|TMPDIR|TZDIR|LIBMOUNT_.*|ENV)$/;
const LIMITS_MARK = '# limits ';

/**
 * The `run` file of a task: sourced by the launcher inside the task's folder, or executed there by a person. One
 * compound command, so that it is parsed to its end before a word of it takes effect.
 */
export function runScript(task: TaskStart, confinement: RunConfinement = {}): string {
  const { exports, limits, command } = startLines(task, confinement);
  // The redirections come last: what bash says about a locale it does not have is not the task's output.
  const script = [
    '#!/bin/bash',
    `${LIMITS_MARK}${JSON.stringify(task.limits ?? {})}`,
    '{',
    'cd work || exit 125',
    ...exports,
    ...limits,
    `exec -- ${command} >>../stdout 2>>../stderr`,
    '}',
    '',
  ].join('\n');
  if (script.includes('\0'))
    throw new LauncherError('NOT_SENDABLE', `${task.folder}: a NUL cannot be passed to a program`);
  return script;
}

/** What bash is told of a start: its environment, its limits, and the program with its arguments, for `exec`. */
export function startLines(
  task: Pick<TaskStart, 'folder' | 'argv' | 'environment' | 'wrapper'>,
  confinement: RunConfinement,
): { readonly exports: readonly string[]; readonly limits: readonly string[]; readonly command: string } {
  const argv = 'shell' in task.argv ? ['/bin/sh', '-c', task.argv.shell] : task.argv;
  if (argv.length === 0) throw new LauncherError('NOT_SENDABLE', `${task.folder}: no program to start`);
  const before = [...(confinement.namespaces ?? []), ...userChange(confinement.user)];
  const exports: string[] = [];
  const passed: string[] = [];
  for (const [name, value] of Object.entries(task.environment)) {
    if (name === '' || name.includes('='))
      throw new LauncherError(
        'NOT_SENDABLE',
        `${task.folder}: ${JSON.stringify(name)} is not a name for the environment`,
      );
    const isSteering = before.length > 0 && STEERING.test(name);
    if (SHELL_NAME.test(name) && !BASH_OWN.test(name) && !isSteering) exports.push(`export ${name}=${quote(value)}`);
    else passed.push(quote(`${name}=${value}`));
  }
  const program = [...(task.wrapper ?? []), ...argv];
  const command = program.map(quote);
  if (passed.length > 0) {
    // env(1) would take a program whose name holds a "=" for one more assignment.
    if (program[0]?.includes('=')) command.unshift('/bin/sh', '-c', `'exec "$@"'`, 'sh');
    command.unshift('/usr/bin/env', '--', ...passed);
  }
  // Behind the change of the user: what is before it may still be root.
  command.unshift(...before.map(quote));
  return { exports, limits: ulimits(confinement), command: command.join(' ') };
}

/** What `launch` was asked to hold the task to: for a start that is sent again after its control group went with the machine. */
export function limitsIn(script: string): StartLimits {
  const line = script.split('\n')[1] ?? '';
  if (!line.startsWith(LIMITS_MARK)) return {};
  try {
    return JSON.parse(line.slice(LIMITS_MARK.length)) as StartLimits;
  } catch {
    return {};
  }
}

/** bash's ulimit counts memory in units of 1,024 bytes. Soft and hard at once: the task cannot take them back. */
function ulimits({ allocatedBytes, userProcesses }: RunConfinement): string[] {
  return [
    ...(allocatedBytes === undefined ? [] : [`ulimit -d ${Math.ceil(allocatedBytes / 1_024)} || exit 125`]),
    ...(userProcesses === undefined ? [] : [`ulimit -u ${userProcesses} || exit 125`]),
  ];
}

/** Whether all of a `run` file was written. What is cut off is an unfinished compound command, of which bash executes nothing. */
export function isWhole(script: string | undefined): boolean {
  return script?.endsWith('\n}\n') ?? false;
}
