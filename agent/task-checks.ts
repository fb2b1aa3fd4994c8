import type { Clock, Timer } from '../io/clock.ts';
import type { Probe, ProbeAnswer, Prober } from '../io/prober.ts';
import type { Reason, TaskInfo } from '../protocol/task.ts';
import { type Check, type CheckStatus, type HealthCheck, portOf } from '../protocol/task-checks.ts';
import { checkStatusOf, isSameStatus, isWell, wordsOf } from './checks/answer.ts';
import { beginHealth, firstMs, type Health, judge, type Timing } from './checks/health.ts';

/** What checks say about a run: to be told, as it is. */
export interface CheckNews {
  readonly reason: Extract<Reason, 'HEALTH_CHECK_FAILED' | 'HEALTH_CHECK_STATUS_UPDATED' | 'CHECK_STATUS_UPDATED'>;
  readonly message?: string;
  readonly healthy?: boolean;
  readonly checkStatus?: CheckStatus;
}

/** One start that runs. */
export interface Checked {
  /** Names the start: its folder, relative to the launcher's root. */
  readonly folder: string;
  readonly info: Pick<TaskInfo, 'healthCheck' | 'check' | 'resources'>;
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute: where its commands run. */
  readonly sandbox: string;
  /** Monotonic. */
  readonly startedMs: number;
  /** What was told of this start before, perhaps by an agent before this one. */
  readonly told: { readonly healthy?: boolean | undefined; readonly checkStatus?: CheckStatus | undefined };
}

interface Watch {
  readonly folder: string;
  readonly timers: Map<string, Timer>;
}

/** Asks running tasks how they are, by the monotonic clock, with or without a master in reach. */
export class TaskChecks {
  readonly #clock: Clock;
  readonly #prober: Prober;
  readonly #tell: (folder: string, news: CheckNews) => void;
  readonly #watched = new Map<string, Watch>();

  /** `tell` is called for starts that are still watched. */
  constructor(clock: Clock, prober: Prober, tell: (folder: string, news: CheckNews) => void) {
    this.#clock = clock;
    this.#prober = prober;
    this.#tell = tell;
  }

  /** Begins, unless it has; most tasks have no checks. */
  watch(checked: Checked): void {
    const { folder, info, startedMs, told } = checked;
    if (this.#watched.has(folder) || (info.healthCheck === undefined && info.check === undefined)) return;
    const watch: Watch = { folder, timers: new Map() };
    this.#watched.set(folder, watch);
    if (info.healthCheck !== undefined)
      this.#arm(
        watch,
        checked,
        info.healthCheck,
        this.#judging(info.healthCheck, beginHealth(startedMs, told.healthy)),
      );
    if (info.check !== undefined) this.#arm(watch, checked, info.check, this.#comparing(info.check, told.checkStatus));
  }

  /** It has ended, or is to end: nobody asks any more. */
  end(folder: string): void {
    const watch = this.#watched.get(folder);
    if (watch === undefined) return;
    this.#watched.delete(folder);
    for (const timer of watch.timers.values()) timer.cancel();
  }

  stop(): void {
    for (const folder of [...this.#watched.keys()]) this.end(folder);
    this.#prober.stop();
  }

  #judging(check: HealthCheck, before: Health): (found: ProbeAnswer) => CheckNews | undefined {
    const kind = kindOf(check);
    let health = before;
    return (found) => {
      const well = isWell(kind, found);
      const judgement = judge(health, check, well, this.#clock.monotonic());
      health = judgement.health;
      if (!judgement.tell) return undefined;
      if (well) return { reason: 'HEALTH_CHECK_STATUS_UPDATED', healthy: true };
      const message = `unhealthy: ${wordsOf(kind, found)} (${health.failures} of ${check.consecutiveFailures} in a row)`;
      return {
        reason: judgement.ends ? 'HEALTH_CHECK_FAILED' : 'HEALTH_CHECK_STATUS_UPDATED',
        healthy: false,
        message,
      };
    };
  }

  #comparing(check: Check, before: CheckStatus | undefined): (found: ProbeAnswer) => CheckNews | undefined {
    const kind = kindOf(check);
    let status = before;
    return (found) => {
      const now = checkStatusOf(kind, found);
      if (isSameStatus(status, now)) return undefined;
      status = now;
      return { reason: 'CHECK_STATUS_UPDATED', checkStatus: now };
    };
  }

  #arm(
    watch: Watch,
    checked: Checked,
    check: (Check | HealthCheck) & Timing,
    take: (found: ProbeAnswer) => CheckNews | undefined,
  ): void {
    const name = 'consecutiveFailures' in check ? 'health' : 'check';
    const again = (ms: number): void => {
      watch.timers.set(
        name,
        this.#clock.after(Math.ceil(ms), () => void ask()),
      );
    };
    const ask = async (): Promise<void> => {
      const probe = probeOf(check, checked);
      const found =
        probe === undefined ? { trouble: 'it has no such port' } : await this.#prober.probe(probe, check.timeoutMs);
      if (this.#watched.get(watch.folder) !== watch) return;
      again(check.intervalMs);
      const news = take(found);
      if (news !== undefined) this.#tell(watch.folder, news);
    };
    const nowMs = this.#clock.monotonic();
    again(firstMs(check, checked.startedMs, nowMs) - nowMs);
  }
}

function kindOf({ command, http }: Check | HealthCheck): CheckStatus['kind'] {
  return command !== undefined ? 'command' : http !== undefined ? 'http' : 'tcp';
}

function probeOf({ command, http, tcp }: Check | HealthCheck, checked: Checked): Probe | undefined {
  const { info, environment, sandbox } = checked;
  if (command !== undefined) return { kind: 'command', argv: command.argv, environment, folder: sandbox };
  const port = portOf(http ?? tcp ?? {}, info.resources);
  if (port === undefined) return undefined;
  return http === undefined ? { kind: 'tcp', port } : { kind: 'http', scheme: http.scheme, path: http.path, port };
}
