import type { Clock, Timer } from '../io/clock.ts';
import type { TaskState as Found, Launcher } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { OutputFile } from '../io/output-file.ts';
import { type Random, randomWord } from '../io/random.ts';
import { StorageError } from '../io/storage.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { TaskStatus } from '../protocol/task.ts';
import type { CheckpointRecord } from './checkpoint/records.ts';
import { hasEnded, type Run } from './checkpoint/state.ts';
import type { DurableState } from './durable-state.ts';
import { environmentOf } from './executors/command.ts';
import { type Actual, plan, type Step } from './tasks/plan.ts';
import { LASTING_MS } from './tasks/restart-back-off.ts';

/** How often the outputs of running tasks are looked at, to keep them within their cap. */
const CUT_MS = 1_000;
/** Folders of ended tasks that are kept for readers. */
const KEPT = 500;
/** How long a task without a supervisor is asked after. */
const UNSUPERVISED_MS = 1_000;

export interface RunsWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly launcher: Launcher;
  readonly durable: DurableState;
  /** The output file of a stream, below the launcher's root. */
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  readonly agentName: string;
  readonly boot: string;
  /** Absolute path of a task folder. */
  readonly pathOf: (folder: string) => string;
}

/** What this process knows of a run beyond the checkpoint. */
interface Live {
  actual: Actual;
  startedMs: number | undefined;
  kill: { sinceMs: number; graceMs: number; terminated: boolean; killed: boolean } | undefined;
  timeUp: boolean;
  rebooted: boolean;
  quickEnds: number;
  timer: Timer | undefined;
  busy: boolean;
  again: boolean;
}

/**
 * Brings every accepted run to its end: what to do is decided by `plan`, done here, and reported through `onReport`
 * once it is durable.
 */
export class Runs {
  readonly #world: RunsWorld;
  readonly #live = new Map<string, Live>();
  readonly #onReport: (run: string, status: TaskStatus) => void;
  readonly #onEnded: (run: string) => void;
  readonly #ended: string[] = [];
  #cutting: Timer | undefined;
  #sweeping = false;

  constructor(world: RunsWorld, onReport: (run: string, status: TaskStatus) => void, onEnded: (run: string) => void) {
    this.#world = world;
    this.#onReport = onReport;
    this.#onEnded = onEnded;
    world.launcher.onStarted(({ folder }) => this.#seen(folder, { kind: 'running' }));
    world.launcher.onExit(({ folder, code }) => this.#seen(folder, { kind: 'exited', code }));
  }

  /** True while that run has not ended. */
  alive(run: string): boolean {
    return this.#live.has(run);
  }

  /** Accepted, durably: now it may start. */
  start(runs: readonly Run[]): void {
    for (const run of runs) {
      this.#live.set(run.run, this.#fresh({ kind: 'launched' }));
      void this.#launch(run);
    }
    this.#armCut();
  }

  /** After a restart of the agent: takes up every run where it is. */
  async adopt(rebooted: boolean): Promise<void> {
    const { durable } = this.#world;
    for (const run of durable.state.runs.values()) {
      if (hasEnded(run)) {
        this.#ended.push(run.run);
        continue;
      }
      const live = this.#fresh({ kind: 'launched' });
      live.rebooted = rebooted;
      if (run.kill !== undefined)
        live.kill = { sinceMs: this.#now(), graceMs: run.kill.graceMs, terminated: false, killed: false };
      this.#live.set(run.run, live);
      await this.#lookAfter(run, live);
    }
    this.#armCut();
  }

  /** Ends a run for good; a later request can only shorten the grace. */
  kill(run: Run, graceMs: number): void {
    const live = this.#live.get(run.run);
    if (live === undefined) return;
    const nowMs = this.#now();
    const left = live.kill === undefined ? graceMs : Math.min(live.kill.sinceMs + live.kill.graceMs - nowMs, graceMs);
    if (run.kill === undefined) this.#commit([{ kind: 'KILL', run: run.run, graceMs }]);
    live.kill = {
      sinceMs: nowMs,
      graceMs: Math.max(0, left),
      terminated: live.kill?.terminated ?? false,
      killed: live.kill?.killed ?? false,
    };
    this.#advance(run.run);
  }

  /** A master has heard of its end: its folder stays for readers, up to a number. */
  forgettable(run: string): void {
    this.#ended.push(run);
    this.#sweep();
  }

  stop(): void {
    this.#cutting?.cancel();
    for (const live of this.#live.values()) live.timer?.cancel();
  }

  folderOf({ run, restart }: Run): string {
    return `${run}/${restart}`;
  }

  #fresh(actual: Actual): Live {
    return {
      actual,
      startedMs: undefined,
      kill: undefined,
      timeUp: false,
      rebooted: false,
      quickEnds: 0,
      timer: undefined,
      busy: false,
      again: false,
    };
  }

  async #launch(run: Run): Promise<void> {
    const { launcher, log } = this.#world;
    const folder = this.folderOf(run);
    try {
      await launcher.launch({
        folder,
        argv: run.info.argv,
        environment: environmentOf(
          run,
          this.#world.agentName,
          this.#world.durable.state.agent ?? '',
          `${this.#world.pathOf(folder)}/work`,
        ),
      });
    } catch (error) {
      log.warn('launch failed', { run: run.run, error: String(error) });
      const full = error instanceof StorageError && error.code === 'ENOSPC';
      this.#seenRun(run.run, {
        kind: 'unstarted',
        reason: full ? 'AGENT_DISK_FULL' : 'LAUNCH_FAILED',
        message: (error instanceof Error ? error.message : String(error)).slice(0, LIMITS.messageLength),
      });
      return;
    }
    const live = this.#live.get(run.run);
    if (live?.kill !== undefined) this.#advance(run.run);
  }

  /** What became of the newest start while nobody looked. */
  async #lookAfter(run: Run, live: Live): Promise<void> {
    const { launcher } = this.#world;
    const found: Found = await launcher.adopt(this.folderOf(run));
    switch (found.state) {
      case 'missing':
        // Accepted, and the agent died before the folder was made: it never started.
        void this.#launch(run);
        return;
      case 'unclaimed':
        if (await launcher.claim(this.folderOf(run))) {
          // Withdrawn here, so that nobody else can start it: the next restart number starts in its place.
          live.actual = { kind: 'waiting', untilMs: this.#now() };
          this.#advance(run.run);
        } else await this.#lookAfter(run, live);
        return;
      case 'withdrawn':
        live.actual = { kind: 'waiting', untilMs: this.#now() };
        this.#advance(run.run);
        return;
      case 'running':
        live.startedMs ??= this.#now();
        this.#seenRun(run.run, { kind: 'running' });
        if (!found.supervised) this.#askAgain(run, live);
        return;
      case 'exited':
        this.#seenRun(run.run, { kind: 'exited', code: found.code });
        return;
      case 'vanished':
        this.#seenRun(run.run, { kind: 'vanished' });
    }
  }

  /** Its supervisor was killed: no notice will come, so its process is looked at. */
  #askAgain(run: Run, live: Live): void {
    this.#world.clock.after(UNSUPERVISED_MS, () => {
      if (this.#live.get(run.run) === live) void this.#lookAfter(run, live);
    });
  }

  #seen(folder: string, actual: Actual): void {
    const at = folder.lastIndexOf('/');
    const run = this.#world.durable.state.runs.get(folder.slice(0, at));
    if (run !== undefined && String(run.restart) === folder.slice(at + 1)) this.#seenRun(run.run, actual);
  }

  #seenRun(name: string, actual: Actual): void {
    const live = this.#live.get(name);
    if (
      live === undefined ||
      live.actual.kind === 'exited' ||
      (actual.kind === 'running' && live.actual.kind === 'running')
    )
      return;
    if (actual.kind === 'running') live.startedMs ??= this.#now();
    live.actual = actual;
    this.#advance(name);
  }

  #now(): number {
    return this.#world.clock.monotonic();
  }

  /** Plans and does, one run at a time, until there is nothing left to do now. */
  #advance(name: string): void {
    const live = this.#live.get(name);
    if (live === undefined) return;
    if (live.busy) {
      live.again = true;
      return;
    }
    const run = this.#world.durable.state.runs.get(name);
    if (run === undefined) return;
    live.timer?.cancel();
    live.timer = undefined;
    const { steps, wakeMs } = plan(
      {
        restartPolicy: run.info.restart,
        restart: run.restart,
        actual: live.actual,
        reported: run.latest?.state,
        startedMs: live.startedMs,
        maxCompletionMs: run.info.maxCompletionMs,
        kill: live.kill,
        timeUp: live.timeUp,
        rebooted: live.rebooted,
        quickEnds: live.quickEnds,
      },
      this.#now(),
    );
    if (wakeMs !== undefined)
      live.timer = this.#world.clock.after(Math.max(0, Math.ceil(wakeMs - this.#now())), () => this.#advance(name));
    live.busy = true;
    void this.#perform(name, live, steps).finally(() => {
      live.busy = false;
      if (!live.again) return;
      live.again = false;
      this.#advance(name);
    });
  }

  async #perform(name: string, live: Live, steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const run = this.#world.durable.state.runs.get(name);
      if (run === undefined) return;
      await this.#executors[step.kind](run, live, step as never);
    }
  }

  /** What does each kind of step: complete, or it does not compile. */
  readonly #executors: {
    readonly [Kind in Step['kind']]: (
      run: Run,
      live: Live,
      step: Extract<Step, { kind: Kind }>,
    ) => void | Promise<void>;
  } = {
    report: (run, live, step) => this.#report(run, live, step),
    terminate: async (run, live) => {
      if (live.kill !== undefined) live.kill.terminated = true;
      await this.#world.launcher.signal(this.folderOf(run), 'SIGTERM');
    },
    kill: async (run, live) => {
      const { launcher } = this.#world;
      if (live.actual.kind === 'launched' && (await launcher.claim(this.folderOf(run)))) {
        live.actual = { kind: 'unstarted', reason: 'KILLED_DURING_LAUNCH', message: 'killed before it started' };
        live.again = true;
        return;
      }
      if (live.kill !== undefined) live.kill.killed = true;
      await launcher.signal(this.folderOf(run), 'SIGKILL');
    },
    timeOut: (_run, live) => {
      live.timeUp = true;
      live.kill = { sinceMs: this.#now(), graceMs: 0, terminated: true, killed: false };
      live.again = true;
    },
    wait: (_run, live, step) => {
      if (live.startedMs !== undefined)
        live.quickEnds = this.#now() - live.startedMs >= LASTING_MS ? 0 : live.quickEnds + 1;
      live.actual = { kind: 'waiting', untilMs: step.untilMs };
      live.startedMs = undefined;
      live.rebooted = false;
      live.again = true;
    },
    restart: async (run, live) => {
      const restart = run.restart + 1;
      // Minted and durable before the start: no start happens twice under one number.
      await this.#world.durable.commit([{ kind: 'RESTART', run: run.run, restart }]);
      live.actual = { kind: 'launched' };
      await this.#launch({ ...run, restart });
    },
    sweep: async (run) => {
      await this.#world.launcher.signal(this.folderOf(run), 'SIGKILL');
    },
  };

  async #report(run: Run, live: Live, step: Extract<Step, { kind: 'report' }>): Promise<void> {
    const { clock, random, durable, boot } = this.#world;
    const ended = isEnd(step.state);
    const output = ended ? await this.#sizes(run) : undefined;
    const { kind: _kind, ...said } = step;
    const current = durable.state.runs.get(run.run) ?? run;
    const status: TaskStatus = {
      framework: run.framework,
      task: run.info.task,
      attempt: run.info.attempt,
      restart: run.restart,
      uuid: randomWord(random, 16),
      sequence: current.sequence + 1,
      ...said,
      ...(output === undefined ? {} : { output }),
      at: { boot, monotonicMs: Math.round(clock.monotonic()), wallMs: Math.max(0, Math.round(clock.wall())) },
    };
    if (ended) {
      live.timer?.cancel();
      this.#live.delete(run.run);
    }
    this.#commit([{ kind: 'STATUS', run: run.run, status }], status);
    if (ended) this.#onEnded(run.run);
  }

  /** Reports of one turn of the loop become durable together, then go out. */
  #commit(records: readonly CheckpointRecord[], status?: TaskStatus): void {
    const { durable } = this.#world;
    const reported = records.flatMap((record) =>
      record.kind === 'STATUS' && status !== undefined ? [{ run: record.run, status }] : [],
    );
    durable.commit(records).then(
      () => {
        for (const { run, status: said } of reported) this.#onReport(run, said);
      },
      (error: unknown) => {
        // The end of a run can be found out again from its folder: it is told although the disk could not take it.
        this.#world.log.error('checkpoint not written', { error: String(error) });
        for (const { run, status: said } of reported) this.#onReport(run, said);
      },
    );
  }

  async #sizes(run: Run): Promise<{ stdout: number; stderr: number } | undefined> {
    const folder = this.folderOf(run);
    try {
      const [stdout, stderr] = await Promise.all([
        this.#world.output(folder, 'stdout').size(),
        this.#world.output(folder, 'stderr').size(),
      ]);
      return { stdout: stdout ?? 0, stderr: stderr ?? 0 };
    } catch {
      return undefined;
    }
  }

  /** Keeps outputs within their cap, while anything runs. */
  #armCut(): void {
    if (this.#cutting !== undefined || this.#live.size === 0) return;
    this.#cutting = this.#world.clock.after(CUT_MS, () => {
      this.#cutting = undefined;
      void this.#cutAll().finally(() => this.#armCut());
    });
  }

  async #cutAll(): Promise<void> {
    for (const [name, live] of [...this.#live]) {
      const run = this.#world.durable.state.runs.get(name);
      if (run === undefined || live.actual.kind !== 'running') continue;
      const folder = this.folderOf(run);
      try {
        await this.#world.output(folder, 'stdout').cut();
        await this.#world.output(folder, 'stderr').cut();
      } catch (error) {
        this.#world.log.warn('output not cut', { run: name, error: String(error) });
      }
    }
  }

  /** Removes the oldest folders of ended runs, a few at a time. */
  #sweep(): void {
    if (this.#sweeping || this.#ended.length <= KEPT) return;
    this.#sweeping = true;
    this.#world.clock.after(CUT_MS, () => {
      void this.#removeOldest().finally(() => {
        this.#sweeping = false;
        this.#sweep();
      });
    });
  }

  async #removeOldest(): Promise<void> {
    for (let count = 0; count < 50 && this.#ended.length > KEPT; count++) {
      const name = this.#ended.shift();
      const run = name === undefined ? undefined : this.#world.durable.state.runs.get(name);
      if (run === undefined) continue;
      await this.#world.launcher.remove(run.run).catch(() => undefined);
      this.#world.durable.later([{ kind: 'FORGOTTEN', run: run.run }]);
    }
  }
}

function isEnd(state: TaskStatus['state']): boolean {
  return state === 'TASK_FINISHED' || state === 'TASK_FAILED' || state === 'TASK_KILLED' || state === 'TASK_DROPPED';
}
