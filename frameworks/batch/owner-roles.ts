import type { Clock, Quantities, SchedulerDriver, Timer } from '../../sdk/index.ts';

/** A role without live jobs is kept this long: the owner's next job finds it standing. */
const IDLE_MS = 60_000;

/** One role per owner, so that fairness acts between people; suppressed while the owner has nothing to place. */
export class OwnerRoles {
  readonly #clock: Clock;
  readonly #liveJobs = new Map<string, number>();
  /** Owner → when their last live job ended. */
  readonly #idleMs = new Map<string, number>();
  readonly #declared = new Set<string>();
  readonly #suppressed = new Set<string>();
  /** What each task needs, of owners all of whose tasks need the same. */
  readonly #shapes = new Map<string, Quantities>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  jobBegan(owner: string): void {
    this.#liveJobs.set(owner, (this.#liveJobs.get(owner) ?? 0) + 1);
    this.#idleMs.delete(owner);
  }

  jobEnded(driver: SchedulerDriver, owner: string): void {
    const left = (this.#liveJobs.get(owner) ?? 1) - 1;
    if (left > 0) {
      this.#liveJobs.set(owner, left);
      return;
    }
    this.#liveJobs.delete(owner);
    this.#idleMs.set(owner, this.#clock.monotonic());
    this.#timer ??= this.#clock.after(IDLE_MS, () => this.#removeIdle(driver));
  }

  /** The owner has tasks to place, of this shape if of any: offers, please, whatever was declined before. */
  wants(driver: SchedulerDriver, owner: string, shape: Quantities | undefined): void {
    this.#suppressed.delete(owner);
    const changed = !this.#declared.has(owner) || JSON.stringify(this.#shapes.get(owner)) !== JSON.stringify(shape);
    this.#declared.add(owner);
    if (shape === undefined) this.#shapes.delete(owner);
    else this.#shapes.set(owner, shape);
    if (changed) this.#update(driver);
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
    for (const owner of this.#declared) this.#idleMs.set(owner, this.#clock.monotonic());
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #removeIdle(driver: SchedulerDriver): void {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonic();
    for (const [owner, sinceMs] of this.#idleMs) {
      const leftMs = sinceMs + IDLE_MS - nowMs;
      if (leftMs > 0) {
        // In the order in which they became idle: the others have longer.
        this.#timer = this.#clock.after(leftMs, () => this.#removeIdle(driver));
        break;
      }
      this.#idleMs.delete(owner);
      this.#declared.delete(owner);
      this.#suppressed.delete(owner);
      this.#shapes.delete(owner);
    }
    this.#update(driver);
  }

  #update(driver: SchedulerDriver): void {
    const wishes = [...this.#shapes].map(([role, shape]) => ({ role, shape: [...shape] }));
    driver.updateFramework([...this.#declared], [...this.#suppressed], { capabilities: ['GPU_RESOURCES'], wishes });
  }
}
