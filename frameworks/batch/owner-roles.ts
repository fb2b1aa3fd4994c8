import type { Clock, SchedulerDriver, Timer } from '../../sdk/index.ts';

/** A role without live jobs is kept this long: the owner's next job finds it standing. */
const IDLE_MS = 60_000;

/** One role per owner, so that fairness acts between people; suppressed while the owner has nothing to place. */
export class OwnerRoles {
  readonly #clock: Clock;
  readonly #liveJobs = new Map<string, number>();
  readonly #declared = new Set<string>();
  readonly #suppressed = new Set<string>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  jobBegan(owner: string): void {
    this.#liveJobs.set(owner, (this.#liveJobs.get(owner) ?? 0) + 1);
  }

  jobEnded(driver: SchedulerDriver, owner: string): void {
    const left = (this.#liveJobs.get(owner) ?? 1) - 1;
    if (left > 0) this.#liveJobs.set(owner, left);
    else this.#liveJobs.delete(owner);
    if (left === 0) this.#timer ??= this.#clock.after(IDLE_MS, () => this.#removeIdle(driver));
  }

  /** The owner has tasks to place: offers, please, whatever was declined before. */
  wants(driver: SchedulerDriver, owner: string): void {
    this.#suppressed.delete(owner);
    if (!this.#declared.has(owner)) {
      this.#declared.add(owner);
      driver.updateFramework([...this.#declared], [...this.#suppressed]);
    }
    driver.reviveOffers([owner]);
  }

  /** The owner has nothing to place for now. */
  idle(driver: SchedulerDriver, owner: string): void {
    if (!this.#declared.has(owner) || this.#suppressed.has(owner)) return;
    this.#suppressed.add(owner);
    driver.suppressOffers([owner]);
  }

  /** Before the jobs are read anew. */
  clear(): void {
    this.#liveJobs.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #removeIdle(driver: SchedulerDriver): void {
    this.#timer = undefined;
    for (const owner of [...this.#declared].filter((one) => !this.#liveJobs.has(one))) {
      this.#declared.delete(owner);
      this.#suppressed.delete(owner);
    }
    driver.updateFramework([...this.#declared], [...this.#suppressed]);
  }
}
