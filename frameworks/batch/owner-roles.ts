import type { Clock, Quantities, SchedulerDriver, Timer } from '../../sdk/index.ts';

/** A role without live jobs is kept this long: the owner's next job finds it standing. */
const IDLE_MS = 60_000;

/** One role per owner, so that fairness acts between people; suppressed while the owner has nothing to place. */
export class OwnerRoles {
  readonly #clock: Clock;
  readonly #liveJobs = new Map<string, number>();
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
  }

  jobEnded(driver: SchedulerDriver, owner: string): void {
    const left = (this.#liveJobs.get(owner) ?? 1) - 1;
    if (left > 0) this.#liveJobs.set(owner, left);
    else this.#liveJobs.delete(owner);
    if (left === 0) this.#timer ??= this.#clock.after(IDLE_MS, () => this.#removeIdle(driver));
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
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #removeIdle(driver: SchedulerDriver): void {
    this.#timer = undefined;
    for (const owner of [...this.#declared].filter((one) => !this.#liveJobs.has(one))) {
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
