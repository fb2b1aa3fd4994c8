import type { Clock } from '../io/clock.ts';
import type { Launcher, TaskSpent } from '../io/launcher.ts';
import type { Log } from '../io/log.ts';
import type { OutputFile } from '../io/output-file.ts';
import type { Prober } from '../io/prober.ts';
import type { Random } from '../io/random.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { isTerminal, type TaskStatus } from '../protocol/task.ts';
import type { Moment } from './checkpoint/records.ts';
import { hasEnded, type Run } from './checkpoint/state.ts';
import type { OwnDevice } from './devices/choose-devices.ts';
import type { DurableState } from './durable-state.ts';
import { confinementOf } from './isolation/confinement.ts';
import { KeptFolders } from './kept-folders.ts';
import { fresh, type Live, stopped, withdrawn } from './live-run.ts';
import { OutputCuts } from './output-cuts.ts';
import { reportPatience } from './reporting/patience.ts';
import type { RunArtifacts } from './run-artifacts.ts';
import { RunLooks } from './run-looks.ts';
import { folderOf, RunStarts } from './run-starts.ts';
import { StatusReports } from './status-reports.ts';
import { TaskChecks } from './task-checks.ts';
import { type Actual, type Because, type News, plan, type Step, type Stop } from './tasks/plan.ts';
import { LASTING_MS } from './tasks/restart-back-off.ts';

const MB = 1_048_576;
/** A start that the full disk did not take is tried again after this long. */
const DISK_RETRY_MS = 30_000;
/** Starts of a run before its newest one whose output stays. */
const EARLIER_STARTS = 1;

export interface RunsWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly launcher: Launcher;
  readonly prober: Prober;
  readonly durable: DurableState;
  /** The output file of a stream, below the launcher's root. */
  readonly output: (folder: string, stream: 'stdout' | 'stderr') => OutputFile;
  readonly agentName: string;
  readonly boot: string;
  /** Absolute path of a task folder. */
  readonly pathOf: (folder: string) => string;
  /** Absolute path below which volumes are. */
  readonly volumesRoot: string;
  /** GPUs and accelerators of the machine. */
  readonly devices: () => readonly OwnDevice[];
  readonly artifacts: RunArtifacts;
}

export interface RunsListener {
  /** Durable (or, for an end on a full disk, to be found out again): to be sent. */
  readonly reported: (run: string, status: TaskStatus) => void;
  /** A start has ended: nothing is written to its outputs any more. The run itself may go on with another. */
  readonly startEnded: (run: string) => void;
}

/**
 * Brings every accepted run to its end: what to do is decided by `plan`, done here, and reported once it is durable.
 */
export class Runs {
  readonly #world: RunsWorld;
  readonly #listener: RunsListener;
  readonly #live = new Map<string, Live>();
  readonly #cuts: OutputCuts;
  readonly #kept: KeptFolders;
  readonly #reports: StatusReports;
  readonly #checks: TaskChecks;
  readonly #starts: RunStarts;
  readonly #looks: RunLooks;
  #stopped = false;

  constructor(world: RunsWorld, listener: RunsListener) {
    this.#world = world;
    this.#listener = listener;
    this.#cuts = new OutputCuts({ ...world, running: () => this.#running() });
    this.#kept = new KeptFolders(world);
    this.#reports = new StatusReports(world, (run, status) => listener.reported(run, status));
    this.#checks = new TaskChecks(world.clock, world.prober, (folder, news) => this.#tells(folder, news));
    const noticed = (folder: string, actual: Actual, usage?: TaskSpent): void => this.#noticed(folder, actual, usage);
    const advance = (run: string): void => this.#advance(run);
    this.#starts = new RunStarts(world, {
      ...{ noticed, advance },
      live: (run) => this.#live.get(run),
      fetching: (folder, words) => this.#fetching(folder, words),
    });
    this.#looks = new RunLooks(world, {
      ...{ noticed, advance },
      live: this.#live,
      launch: (run) => this.#starts.launch(run),
    });
    world.launcher.onStarted(({ folder }) => this.#noticed(folder, { kind: 'running' }));
    world.launcher.onExit(({ folder, code, outOfMemory, message, usage }) =>
      this.#noticed(folder, { kind: 'exited', code, outOfMemory, message }, usage),
    );
    world.launcher.onProgress?.((folder, message) => this.#tells(folder, { message }));
    world.launcher.onFetching?.(({ folder, message }) => this.#fetching(folder, message));
    // Whatever ended the launcher process may have ended supervisors too.
    world.launcher.onRestarted(() => this.#looks.lookAfterAll());
  }

  /** How many have not ended. */
  get size(): number {
    return this.#live.size;
  }

  /** How many have ended, and stay for readers of their output alone. */
  get kept(): number {
    return this.#kept.size;
  }

  /** True while that start of the run may write to its outputs. */
  writes({ run, restart }: Run): boolean {
    const live = this.#live.get(run);
    if (live === undefined || this.#world.durable.state.runs.get(run)?.restart !== restart) return false;
    const { kind } = live.actual;
    return kind === 'launched' || kind === 'running' || kind === 'exited';
  }

  /** Accepted, durably: now it may start. */
  start(run: Run): void {
    if (this.#live.has(run.run) || hasEnded(run)) return;
    this.#live.set(run.run, fresh());
    void this.#starts.launch(run);
    this.#looks.arm();
  }

  /** After a restart of the agent: takes up every run where it is. */
  async adopt(rebooted: boolean): Promise<void> {
    for (const run of [...this.#world.durable.state.runs.values()]) {
      if (run.info.executor !== undefined && !hasEnded(run)) continue;
      if (hasEnded(run)) {
        this.forgettable(run);
        continue;
      }
      const live = fresh();
      live.rebooted = rebooted;
      live.kill = this.#killBefore(run);
      const { latest } = run;
      if (latest?.restart === run.restart) {
        live.healthy = latest.healthy;
        live.checkStatus = latest.checkStatus;
        if (latest.reason === 'HEALTH_CHECK_FAILED' && !rebooted)
          live.unhealthy = { ...this.#stop(run.info.killGraceMs), message: latest.message ?? 'unhealthy' };
      }
      this.#live.set(run.run, live);
      live.startedMs = this.#startedBefore(run);
      const looked = this.#looks.lookAfter(run, live);
      // An engine may take minutes to answer: nothing else waits for it.
      if (run.info.container === undefined) await looked;
    }
    this.#looks.arm();
  }

  /** When the newest start was first seen to run, by an agent before this one; undefined where no clock of this boot says. */
  #startedBefore({ restart, began }: Run): number | undefined {
    return began?.restart === restart ? this.#msOf(began.at) : undefined;
  }

  /** A moment on this agent's clock; undefined where it is of another boot, or of a machine that cannot tell its boots apart. */
  #msOf(moment: Moment | undefined): number | undefined {
    const { boot } = this.#world;
    return boot !== '' && moment?.boot === boot ? Math.min(moment.monotonicMs, this.#now()) : undefined;
  }

  #killBefore({ kill }: Run): Live['kill'] {
    if (kill === undefined) return undefined;
    return { ...this.#stop(kill.graceMs, this.#msOf(kill.since)), tell: kill.tell, because: kill.because };
  }

  #stop(graceMs: number, sinceMs = this.#now()): Stop {
    return { sinceMs, graceMs, terminated: false, killedMs: undefined };
  }

  /**
   * Ends a run for good; a later request can only shorten the grace, which counts from the first (Mesos:
   * src/launcher/executor.cpp CommandExecutor::kill). `tell`: the framework hears TASK_KILLING meanwhile.
   */
  kill(run: Run, graceMs: number, because?: Because, tell = false): void {
    const live = this.#live.get(run.run);
    if (live === undefined) return;
    const before: Stop = live.kill ?? live.unhealthy ?? this.#stop(graceMs);
    live.kill = {
      ...before,
      graceMs: Math.min(before.graceMs, graceMs),
      tell: tell || (live.kill?.tell ?? false),
      because: live.kill === undefined ? because : live.kill.because,
    };
    if (run.kill === undefined || graceMs < run.kill.graceMs || (tell && !run.kill.tell)) {
      const since = { boot: this.#world.boot, monotonicMs: Math.round(live.kill.sinceMs) };
      const { graceMs: shortest, tell: told, because: first } = live.kill;
      const record = { kind: 'KILL', run: run.run, graceMs: shortest, tell: told, because: first, since } as const;
      // A crash that loses the record loses nothing: the master repeats a kill until the run has ended.
      this.#world.durable.commit([record]).catch(() => undefined);
    }
    this.#advance(run.run);
  }

  /** Its end may be known to a master by now: then its folder only stays for readers. */
  forgettable(run: Run): void {
    if (hasEnded(run) && run.unacknowledged.length === 0) this.#kept.add(run.run);
  }

  /** Lets go of everything; what runs goes on. */
  stop(): void {
    this.#stopped = true;
    this.#cuts.stop();
    this.#kept.stop();
    this.#checks.stop();
    this.#starts.stop();
    this.#looks.stop();
    for (const live of this.#live.values()) live.timer?.cancel();
  }

  folderOf(run: Run): string {
    return folderOf(run);
  }

  /** A start of a run, the newest unless told, and whether it may still write; undefined where its folder is not kept. */
  startOf(run: Run, restart = run.restart): { readonly folder: string; readonly alive: () => boolean } | undefined {
    if (restart > run.restart || restart < run.restart - EARLIER_STARTS) return undefined;
    return { folder: folderOf({ ...run, restart }), alive: () => restart === run.restart && this.writes(run) };
  }

  *#running(): Generator<string> {
    for (const [name, { actual }] of this.#live) {
      const run = this.#world.durable.state.runs.get(name);
      if (run !== undefined && actual.kind === 'running') yield folderOf(run);
    }
  }

  /** A start that takes its time, and somebody at it: that is told, and the patience begins anew. */
  #fetching(folder: string, message: string): void {
    const at = folder.lastIndexOf('/');
    const run = this.#world.durable.state.runs.get(folder.slice(0, at));
    const live = run === undefined ? undefined : this.#live.get(run.run);
    if (this.#stopped || run === undefined || live === undefined || String(run.restart) !== folder.slice(at + 1))
      return;
    if (live.actual.kind !== 'launched' || live.kill !== undefined) return;
    // The launcher has not got it while files are fetched for it.
    if (!this.#world.artifacts.isBusy(folder)) live.launchedMs = this.#now();
    void this.#report(run, live, { kind: 'report', state: 'TASK_STARTING', message });
  }

  /** Something was seen of a start. Late, repeated and overtaken notices are of no more interest. */
  #noticed(folder: string, actual: Actual, usage?: TaskSpent): void {
    if (this.#stopped) return;
    const at = folder.lastIndexOf('/');
    const run = this.#world.durable.state.runs.get(folder.slice(0, at));
    const live = run === undefined ? undefined : this.#live.get(run.run);
    if (run === undefined || live === undefined || String(run.restart) !== folder.slice(at + 1)) return;
    const { kind } = live.actual;
    if (kind !== 'launched' && kind !== 'running') return;
    this.#starts.begun(run.run);
    if (actual.kind === 'running') {
      live.startedMs ??= this.#now();
      this.#cuts.wake();
    }
    if (kind !== actual.kind || live.kill !== undefined) {
      live.actual = actual;
      live.usage = usage;
      this.#advance(run.run);
    }
  }

  /** There is something to say about a start that runs; of one that is to end there is no more to say. */
  #tells(folder: string, news: News): void {
    const name = folder.slice(0, folder.lastIndexOf('/'));
    const live = this.#live.get(name);
    const run = this.#world.durable.state.runs.get(name);
    if (live === undefined || run === undefined || live.kill !== undefined || live.actual.kind !== 'running') return;
    live.healthy = news.healthy ?? live.healthy;
    live.checkStatus = news.checkStatus ?? live.checkStatus;
    live.news.push(news);
    if (news.reason === 'HEALTH_CHECK_FAILED')
      live.unhealthy = { ...this.#stop(run.info.killGraceMs), message: news.message ?? 'unhealthy' };
    this.#advance(name);
  }

  /** Checks ask what runs and is to go on. */
  #watch(run: Run, { actual, kill, unhealthy, startedMs, healthy, checkStatus }: Live): void {
    const { info } = run;
    if (info.healthCheck === undefined && info.check === undefined) return;
    const folder = folderOf(run);
    if (actual.kind !== 'running' || kill !== undefined || unhealthy !== undefined) return this.#checks.end(folder);
    this.#checks.watch({
      folder,
      info,
      environment: this.#starts.environmentOf(run),
      sandbox: this.#starts.sandboxOf(run),
      startedMs: startedMs ?? this.#now(),
      told: { healthy, checkStatus },
    });
  }

  #now(): number {
    return this.#world.clock.monotonic();
  }

  /** Plans and does, one run at a time, until there is nothing left to do now. */
  #advance(name: string): void {
    const live = this.#live.get(name);
    const run = this.#world.durable.state.runs.get(name);
    if (live === undefined || run === undefined || this.#stopped || live.launching) return;
    if (live.busy) {
      live.again = true;
      return;
    }
    live.timer?.cancel();
    live.timer = undefined;
    const nowMs = this.#now();
    const { steps, wakeMs } = plan(
      {
        ...live,
        restartPolicy: run.info.restart,
        restart: run.restart,
        reported: run.latest?.state,
        reportedReason: run.latest?.reason,
        maxCompletionMs: run.info.maxCompletionMs,
        // Of the machine's groups: the engine holds its containers to what they may take.
        caveat:
          run.info.container === undefined ? confinementOf(run.info, this.#world.launcher.isolation).caveat : undefined,
        memPeakMb: live.usage?.memoryPeakBytes === undefined ? undefined : Math.ceil(live.usage.memoryPeakBytes / MB),
      },
      nowMs,
    );
    live.news = [];
    this.#watch(run, live);
    if (wakeMs !== undefined)
      live.timer = this.#world.clock.after(Math.max(0, Math.ceil(wakeMs - nowMs)), () => this.#advance(name));
    live.busy = true;
    void this.#perform(name, live, steps).then(() => {
      live.busy = false;
      if (!live.again) return;
      live.again = false;
      this.#advance(name);
    });
  }

  async #perform(name: string, live: Live, steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const run = this.#world.durable.state.runs.get(name);
      if (run === undefined || this.#stopped) return;
      try {
        await this.#executors[step.kind](run, live, step as never);
      } catch (error) {
        if (!this.#stopped) this.#world.log.warn('step failed', { run: name, step: step.kind, error: String(error) });
      }
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
      if (await this.#withdraw(run, live)) return;
      // False before its process is there: it gets the signal once it is seen.
      const signalled = await this.#world.launcher.signal(folderOf(run), 'SIGTERM');
      stopped(live, { terminated: signalled });
    },
    kill: async (run, live) => {
      if (await this.#withdraw(run, live)) return;
      const signalled = await this.#world.launcher.signal(folderOf(run), 'SIGKILL');
      if (!signalled) return;
      stopped(live, { killedMs: this.#now() });
      live.again = true;
    },
    takeBack: async (run, live) => {
      if (await this.#world.launcher.claim(folderOf(run))) {
        const seconds = Math.round(TIMES.startMs / 1_000);
        const message = `the launcher did not begin it within ${seconds} s`;
        live.actual = { kind: 'unstarted', reason: 'LAUNCH_TIMED_OUT', message };
      } else {
        live.launchedMs = this.#now();
        await this.#looks.lookAfter(run, live);
      }
      live.again = true;
    },
    timeOut: (_run, live) => {
      live.timeUp = true;
      live.kill = { ...this.#stop(0), terminated: true, tell: false };
      live.again = true;
    },
    wait: (run, live, step) => {
      const lasted = live.startedMs !== undefined && this.#now() - live.startedMs >= LASTING_MS;
      // A start that could not be made counts as well; one that vanished with the machine is nobody's failure.
      if (lasted) live.quickEnds = 0;
      else if (live.startedMs !== undefined || live.actual.kind === 'unstarted') live.quickEnds++;
      live.actual = { kind: 'waiting', untilMs: step.untilMs };
      Object.assign(live, { startedMs: undefined, launchedMs: undefined, rebooted: false });
      Object.assign(live, { unhealthy: undefined, healthy: undefined, checkStatus: undefined });
      live.again = true;
      void this.#cuts.cut(folderOf(run));
      this.#listener.startEnded(run.run);
    },
    restart: (run, live) => this.#restart(run, live),
    sweep: async (run) => {
      await this.#world.launcher.sweep(folderOf(run));
    },
  };

  /** Takes back a start that the launcher process has not begun; false where it has. */
  async #withdraw(run: Run, live: Live): Promise<boolean> {
    if (live.actual.kind !== 'launched' || !(await this.#world.launcher.claim(folderOf(run)))) return false;
    this.#world.artifacts.withdraw(folderOf(run));
    live.actual = withdrawn();
    live.again = true;
    return true;
  }

  /** The number is minted and durable before the start: no start happens twice under one number. */
  async #restart(run: Run, live: Live): Promise<void> {
    const { durable, launcher, log } = this.#world;
    const restart = run.restart + 1;
    try {
      await durable.promise([{ kind: 'RESTART', run: run.run, restart }]);
    } catch {
      live.actual = { kind: 'waiting', untilMs: this.#now() + DISK_RETRY_MS };
      live.again = true;
      return;
    }
    live.actual = { kind: 'launched' };
    const launched = this.#starts.launch({ ...run, restart });
    // What it needs may take hours to come, and it may be killed meanwhile.
    if (run.info.artifacts === undefined) await launched;
    // The output of the start before this one stays for readers; a service that fails for months must not fill the disk.
    const old = restart - EARLIER_STARTS - 1;
    if (old >= 0)
      launcher
        .remove(`${run.run}/${old}`)
        .catch((error: unknown) => log.warn('folder not removed', { run: run.run, error: String(error) }));
  }

  async #report(run: Run, live: Live, step: Extract<Step, { kind: 'report' }>): Promise<void> {
    const ended = isTerminal(step.state);
    const output = ended ? await this.#sizes(run) : undefined;
    const { kind: _kind, ...found } = step;
    const { healthy, checkStatus } = live;
    const usage = ended ? usageAtEnd(live.usage) : undefined;
    const said = {
      ...(healthy === undefined ? {} : { healthy }),
      ...(checkStatus === undefined ? {} : { checkStatus }),
      ...found,
      ...(output === undefined ? {} : { output }),
      ...(usage === undefined ? {} : { usage }),
    };
    if (ended) {
      live.timer?.cancel();
      this.#live.delete(run.run);
      this.#starts.begun(run.run);
      this.#checks.end(folderOf(run));
      this.#world.artifacts.ended(run);
    }
    void this.#reports.report(run, said, reportPatience(ended, this.#live.size, this.#starts.unbegun));
    if (ended) {
      const longest = Math.max(output?.stdout ?? 0, output?.stderr ?? 0);
      if (longest > LIMITS.outputBytes) void this.#cuts.cut(folderOf(run));
      this.#listener.startEnded(run.run);
    }
  }

  async #sizes(run: Run): Promise<{ stdout: number; stderr: number } | undefined> {
    const folder = folderOf(run);
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
}

function usageAtEnd(usage: TaskSpent | undefined): TaskStatus['usage'] {
  if (usage?.cpuMs === undefined && usage?.memoryPeakBytes === undefined) return undefined;
  return {
    ...(usage.cpuMs === undefined ? {} : { cpuMs: usage.cpuMs }),
    ...(usage.memoryPeakBytes === undefined ? {} : { memPeakKb: Math.ceil(usage.memoryPeakBytes / 1_024) }),
  };
}
