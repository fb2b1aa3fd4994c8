import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { access, constants, readFile, rm, writeFile } from 'node:fs/promises';
import { constants as system } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Isolation } from '../launcher.ts';
import { type SandboxShell, type SandboxShells, ShellError, type ShellStart } from '../sandbox-shells.ts';
import { nameOf } from './cgroups.ts';
import { inherited } from './inherited-environment.ts';
import { joinNamespaces } from './namespaces.ts';
import { findProcess, listProcesses } from './processes.ts';
import { limitsIn, quote, startLines } from './run-script.ts';
import type { SystemUser } from './users.ts';

export interface ProcessShellsOptions {
  /** Absolute; task folders are relative to it. */
  readonly root: string;
  /** The launcher's own folder, absolute. */
  readonly folder: string;
  /** Of the launcher: what tasks are held to. */
  readonly isolation: Pick<Isolation, 'memory' | 'processes' | 'namespaces'>;
  /** Whom tasks run as. */
  readonly user?: SystemUser | undefined;
}

/** After a program's end, so long without another byte means that somebody else holds its output open. */
const IDLE_MS = 100;
/** How often, and how many times, a terminal that is being made is asked for. */
const NOTE_MS = 20;
const NOTE_TRIES = 100;
/** End of input, as a person types it (termios(3), VEOF). */
const END_OF_INPUT = Uint8Array.of(4);
/** Bash reads the file whole before it executes a word: the file removes itself. */
const EVALUATE = `eval "$(<"$1")"`;

/**
 * Programs beside tasks that are processes: bash enters the task's control groups and its sandbox and becomes the
 * program, as the launcher's does for the task itself. A terminal is made by script(1) of util-linux, since Node has none.
 * All of them end when this process does (prctl(2), PR_SET_PDEATHSIG).
 */
export function processShells(options: ProcessShellsOptions): SandboxShells {
  return { open: (start) => open(options, start) };
}

async function open(options: ProcessShellsOptions, start: ShellStart): Promise<SandboxShell> {
  const { terminal } = start;
  for (const program of ['bash', 'setpriv', ...(terminal === undefined ? [] : ['script', 'stty'])])
    if (!(await isThere(program)))
      throw new ShellError('UNSUPPORTED', `this machine has no ${program}(1), which ${PACKAGES[program]} brings`);
  const file = join(options.folder, `beside-${randomBytes(8).toString('hex')}`);
  const note = terminal === undefined ? undefined : `${file}.terminal`;
  try {
    await writeFile(file, await scriptOf(options, start, file, note), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw failed(error);
  }
  const bash = ['bash', '--noprofile', '--norc', '-c', EVALUATE, 'mesq', file];
  const program = terminal === undefined ? bash : ['script', '-qefc', `exec ${bash.map(quote).join(' ')}`, '/dev/null'];
  const environment = { ...inherited(process.env), ...(terminal === undefined ? {} : { SHELL: '/bin/sh' }) };
  const [first = '', ...rest] = ['setpriv', '--pdeathsig', 'KILL', '--', ...program];
  const child = spawn(first, rest, { cwd: options.folder, detached: true, env: environment, stdio: 'pipe' });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(failed(error)));
  }).catch(async (error: unknown) => {
    // It holds the task's environment, and nobody is there to read and remove it.
    await rm(file, { force: true });
    throw error;
  });
  return new ProcessShell(child, start, note);
}

function failed(error: unknown): ShellError {
  return new ShellError('FAILED', error instanceof Error ? error.message : String(error), error);
}

const PACKAGES: Readonly<Record<string, string>> = {
  bash: 'bash',
  setpriv: 'util-linux',
  script: 'util-linux (Debian: bsdutils)',
  stty: 'coreutils',
};

async function scriptOf(
  { root, folder: own, isolation, user }: ProcessShellsOptions,
  { folder, argv, environment, terminal }: ShellStart,
  file: string,
  note: string | undefined,
): Promise<string> {
  const path = join(root, folder);
  const work = join(path, 'work');
  const limits = limitsIn(await readFile(join(path, 'run'), 'utf8').catch(() => ''));
  const { SHELL = '/bin/sh' } = inherited(process.env);
  const person = user === undefined ? { SHELL } : { HOME: work, USER: user.name, LOGNAME: user.name, SHELL: '/bin/sh' };
  const lines = startLines(
    {
      folder,
      argv,
      environment: { ...person, ...environment, ...(terminal === undefined ? {} : { TERM: terminal.type }) },
      // Changing its user, a process forgets whose death it was to die of.
      wrapper: ['setpriv', '--pdeathsig', 'KILL', '--'],
    },
    {
      user,
      namespaces: joinNamespaces(isolation.namespaces ?? [], await mainProcess(path), work),
      allocatedBytes: isolation.memory === 'process' ? limits.memoryBytes : undefined,
      userProcesses: isolation.processes === 'user' ? limits.processes : undefined,
    },
  );
  const groups = await groupsOf(own, folder);
  return [
    '{',
    `rm -f -- ${quote(file)}`,
    ...groups.map((group) => `echo 0 >${quote(join(group, 'cgroup.procs'))} || exit 125`),
    ...(terminal === undefined || note === undefined
      ? []
      : [
          // Without a terminal of its own to copy, script(1) leaves one that does not echo.
          `stty sane rows ${terminal.rows} cols ${terminal.columns}`,
          ...(user === undefined ? [] : [`chown ${user.uid} "$(tty)"`]),
          `echo "$$ $(tty)" >${quote(note)}`,
        ]),
    `cd ${quote(work)} || exit 125`,
    'unset OLDPWD SHLVL',
    ...lines.exports,
    ...lines.limits,
    `exec -- ${lines.command}`,
    '}',
    '',
  ].join('\n');
}

/** By the launcher's own word. */
async function mainProcess(path: string): Promise<number> {
  const claimed = await readFile(join(path, 'claimed'), 'utf8').catch(() => '');
  return Number(/^(\d+) /.exec(claimed)?.[1] ?? 0);
}

/** The task's control groups, by the launcher's own note of where they are. */
async function groupsOf(own: string, folder: string): Promise<string[]> {
  try {
    const { trees } = JSON.parse(await readFile(join(own, 'cgroups'), 'utf8')) as { trees: { base: string }[] };
    return trees.map(({ base }) => join(base, nameOf(folder))).filter((group) => existsSync(group));
  } catch {
    return [];
  }
}

class ProcessShell implements SandboxShell {
  readonly ended: Promise<number>;
  readonly #child: ChildProcess;
  readonly #note: string | undefined;
  #resizing: Promise<unknown> = Promise.resolve();
  #over = false;

  constructor(child: ChildProcess, { onOutput }: ShellStart, note: string | undefined) {
    this.#child = child;
    this.#note = note;
    child.stdin?.on('error', () => undefined);
    const { stdout, stderr } = child;
    const exited = new Promise<number>((resolve) => {
      child.once('exit', (code, signal) =>
        resolve(code ?? 128 + (signal === null ? 0 : (system.signals[signal] ?? 0))),
      );
    });
    const copies = [
      copy(stdout, exited, (bytes) => onOutput('stdout', bytes)),
      copy(stderr, exited, (bytes) => onOutput('stderr', bytes)),
    ];
    this.ended = exited.then(async (code) => {
      this.#over = true;
      await Promise.all(copies);
      if (note !== undefined) rmSync(note, { force: true });
      return code;
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    return new Promise((resolve) => {
      if (stdin === null || stdin.destroyed || stdin.writableEnded) return resolve();
      stdin.write(bytes, () => resolve());
    });
  }

  endInput(): void {
    if (this.#note === undefined) this.#child.stdin?.end();
    else void this.write(END_OF_INPUT);
  }

  resize(rows: number, columns: number): void {
    this.#resizing = this.#resizing.then(async () => {
      const terminal = await this.#terminal();
      if (terminal === undefined || this.#over) return;
      const argv = ['-F', terminal.path, 'rows', String(rows), 'cols', String(columns)];
      await new Promise((resolve) => execFile('stty', argv, resolve));
    });
  }

  hangUp(force: boolean): void {
    void this.#hangUp(force);
  }

  async #hangUp(force: boolean): Promise<void> {
    const terminal = await this.#terminal();
    const { pid } = this.#child;
    if (this.#over || pid === undefined) return;
    const leader = terminal?.leader ?? pid;
    if (force) {
      for (const { pid: one, session } of listProcesses()) if (session === leader) send(one, 'SIGKILL');
      return send(pid, 'SIGKILL');
    }
    const foreground = findProcess(leader)?.foreground ?? 0;
    if (foreground > 1 && foreground !== leader) send(-foreground, 'SIGHUP');
    send(-leader, 'SIGHUP');
  }

  /** The leader of its session, and the path of its terminal; undefined where it has none. */
  async #terminal(): Promise<{ readonly leader: number; readonly path: string } | undefined> {
    const note = this.#note;
    for (let tries = 0; note !== undefined && !this.#over && tries < NOTE_TRIES; tries++) {
      const [, leader, path] = /^(\d+) (\/dev\/\S+)\n$/.exec(await readFile(note, 'latin1').catch(() => '')) ?? [];
      if (leader !== undefined && path !== undefined) return { leader: Number(leader), path };
      await new Promise((resolve) => setTimeout(resolve, NOTE_MS));
    }
    return undefined;
  }
}

/** To the end of the stream; or, once the program has ended, to where nothing comes any more: others may hold it open. */
async function copy(
  stream: Readable | null,
  exited: Promise<number>,
  take: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  if (stream === null) return;
  let busy = false;
  let quiet = false;
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  void exited.then(() => {
    if (over) return;
    timer = setInterval(() => {
      if (quiet) stream.destroy();
      else quiet = !busy;
    }, IDLE_MS);
  });
  try {
    for await (const bytes of stream) {
      busy = true;
      quiet = false;
      await take(new Uint8Array(bytes as Buffer));
      busy = false;
    }
  } catch {
    // Given up on: all that had come was taken.
  } finally {
    over = true;
    clearInterval(timer);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself.
  }
}

async function isThere(program: string): Promise<boolean> {
  for (const folder of (inherited(process.env)['PATH'] ?? '').split(':')) {
    try {
      await access(join(folder, program), constants.X_OK);
      return true;
    } catch {
      // The next one, perhaps.
    }
  }
  return false;
}
