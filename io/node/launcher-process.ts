import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { LauncherError } from '../launcher.ts';
import type { Log } from '../log.ts';
import { makeFifos, openFifo, watchWriters } from './fifo.ts';
import { LAUNCHER_SCRIPT, launcherVersion } from './launcher-script.ts';
import { readText } from './task-files.ts';

/** Between two tries to replace a launcher process that does not stay, or to claim a folder on a full disk. */
const RETRY_MS = 100;
export const RETRY_MAX_MS = 10_000;
/** Where no control group shares the CPU out, tasks stand behind the agent and the system. */
const NICE = 5;

export interface LauncherProcessOptions {
  /** Absolute, without symbolic links; task folders are relative to it. */
  readonly root: string;
  /** Where its pipes, script and log are; absolute, and there. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** In each of these folders a task's process enters its group. */
  readonly groups: readonly string[];
  /** Whether it and its tasks give way to everybody else. */
  readonly nice: boolean;
  readonly log: Log | undefined;
  /** A notice that is not about the process itself: launcher-script.ts says what there is. */
  readonly noticed: (line: string) => void;
  /** Folders handed over and not known to have begun: what a new process is told again. */
  readonly unstarted: () => Iterable<string>;
  /** Another process has taken the place of one that ended. */
  readonly replaced: () => void;
}

/** The bash process that starts tasks, and its pipes: found or started, watched, and replaced when it ends. */
export class LauncherProcess {
  readonly #options: LauncherProcessOptions;
  readonly #folder: string;
  readonly #log: Log | undefined;
  #starts: Socket | undefined;
  #notices: Socket | undefined;
  #alive: Socket | undefined;
  /** The end of a chunk of notices that is not a whole line yet. */
  #rest = '';
  /** Called once with the next `+` notice. */
  #onUp: (() => void) | undefined;
  #closed = false;
  #retryMs = 0;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Lines of this turn of the event loop, written together. */
  #lines: string[] = [];
  #written: Promise<void> | undefined;

  constructor(options: LauncherProcessOptions) {
    this.#options = options;
    this.#folder = options.folder;
    this.#log = options.log;
  }

  /** Rejects with a LauncherError `UNAVAILABLE` where none runs and none can be started. */
  async attach(): Promise<void> {
    await makeFifos(['starts', 'notices', 'alive'].map((name) => join(this.#folder, name)));
    this.#starts = await openFifo(join(this.#folder, 'starts'), 'write');
    this.#starts.on('error', (error) =>
      this.#log?.error('launcher pipe failed', { pipe: 'starts', reason: error.message }),
    );
    // An agent that was killed in the middle of a line may have left its beginning: it ends here, and is skipped.
    await this.write('');
    this.#notices = await openFifo(join(this.#folder, 'notices'), 'read');
    this.#notices.on('error', (error) =>
      this.#log?.error('launcher pipe failed', { pipe: 'notices', reason: error.message }),
    );
    this.#notices.setEncoding('latin1');
    this.#notices.on('data', (chunk: string) => this.#read(chunk));
    if ((await this.#watch()) && !(await this.#isCurrent())) {
      const ended = this.#ended();
      await this.write('quit');
      await ended;
    }
    if (this.#alive === undefined) await this.#start();
  }

  /** Lets go of it; it runs on. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#written;
    this.#starts?.destroy();
    this.#notices?.destroy();
    this.#alive?.destroy();
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.#closed = true;
    if (this.#alive === undefined) return;
    const ended = this.#ended();
    await this.write('quit');
    await ended;
  }

  /** Writes a line, together with the others of this turn; resolves when the pipe has it. */
  write(line: string): Promise<void> {
    this.#lines.push(`${line}\n`);
    if (this.#lines.length > 1 && this.#written !== undefined) return this.#written;
    this.#written = new Promise((resolve, reject) => {
      setImmediate(() => {
        const text = this.#lines.join('');
        this.#lines = [];
        this.#starts?.write(text, 'latin1', (error) =>
          error ? reject(new LauncherError('CLOSED', error.message, error)) : resolve(),
        );
      });
    });
    return this.#written;
  }

  /** Calls back unless it is closed by then; holds no process open. */
  later(ms: number, callback: () => void | Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) void callback();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Looks whether a launcher process runs, and watches it if so. */
  async #watch(): Promise<boolean> {
    const alive = await watchWriters(join(this.#folder, 'alive'));
    if (alive === undefined) return false;
    this.#alive = alive;
    alive.on('error', (error) => this.#log?.error('launcher pipe failed', { pipe: 'alive', reason: error.message }));
    alive.once('end', () => {
      if (this.#alive !== alive) return;
      this.#alive = undefined;
      alive.destroy();
      if (!this.#closed) this.#restart('the launcher process ended');
    });
    alive.resume();
    return true;
  }

  /** Resolves when the launcher process that is watched has ended; it is not replaced. */
  #ended(): Promise<void> {
    const alive = this.#alive;
    this.#alive = undefined;
    if (alive === undefined || alive.destroyed || alive.readableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      alive.once('end', () => {
        alive.destroy();
        resolve();
      });
      alive.once('close', () => resolve());
    });
  }

  async #isCurrent(): Promise<boolean> {
    const [, version] = ((await readText(join(this.#folder, 'launcher.pid'))) ?? '').trim().split(' ');
    return version === launcherVersion(this.#options.groups);
  }

  async #start(): Promise<void> {
    const script = join(this.#folder, 'launcher.sh');
    const { root, groups, environment } = this.#options;
    // A new file, never the old one changed: a launcher reads its script while it runs.
    await writeFile(`${script}.new`, LAUNCHER_SCRIPT, { mode: 0o600 });
    await rename(`${script}.new`, script);
    const log = openSync(join(this.#folder, 'launcher.log'), 'w', 0o600);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#onUp = resolve;
        const child = spawn(
          'bash',
          [...['--noprofile', '--norc', '--', script, root, this.#folder, launcherVersion(groups), ...groups]],
          {
            cwd: this.#folder,
            detached: true,
            env: { ...environment },
            stdio: ['ignore', log, log],
          },
        );
        child.once('error', (error) =>
          reject(new LauncherError('UNAVAILABLE', `bash cannot be started: ${error.message}`, error)),
        );
        child.once('exit', (code, signal) =>
          reject(
            new LauncherError(
              'UNAVAILABLE',
              `the launcher process ended at once (${signal ?? code}): see ${join(this.#folder, 'launcher.log')}`,
            ),
          ),
        );
        child.unref();
        if (this.#options.nice && child.pid !== undefined) makeNice(child.pid);
      });
    } finally {
      this.#onUp = undefined;
      closeSync(log);
    }
    if (!(await this.#watch())) throw new LauncherError('UNAVAILABLE', 'the launcher process ended at once');
    this.#log?.info('launcher started');
  }

  #restart(reason: string): void {
    this.#log?.warn('launcher lost', { reason, unstarted: [...this.#options.unstarted()].length });
    this.later(this.#retryMs, async () => {
      this.#retryMs = Math.min(RETRY_MAX_MS, Math.max(RETRY_MS, this.#retryMs * 2));
      try {
        await this.#start();
        // Claims decide: what was started already is not started again.
        for (const folder of this.#options.unstarted()) void this.write(`>${folder}`);
        await this.#written;
      } catch (error) {
        if (!this.#closed) this.#restart(error instanceof Error ? error.message : String(error));
        return;
      }
      this.later(RETRY_MAX_MS, () => {
        this.#retryMs = 0;
      });
      this.#options.replaced();
    });
  }

  #read(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines)
      if (line.startsWith('+ ')) this.#onUp?.();
      else this.#options.noticed(line);
  }
}

function makeNice(pid: number): void {
  try {
    setPriority(pid, NICE);
  } catch {
    // It ended at once, which is heard of.
  }
}
