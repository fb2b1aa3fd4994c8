import type { Clock, Timer } from '../io/clock.ts';
import type { Call } from './call-sender.ts';
import type { FrameworkTerms } from './scheduler-driver-options.ts';

/** What {@link RoleInterest} needs of its driver. */
export interface RoleInterestWorld {
  readonly clock: Clock;
  /** Undefined: the framework says itself when it wants none. */
  readonly wants: ((role: string) => boolean) | undefined;
  readonly suppress: (roles: readonly string[]) => void;
  readonly revive: (roles: readonly string[]) => void;
}

/** Under which roles a framework takes offers: one with nothing to do costs the others nothing. */
export class RoleInterest {
  readonly #world: RoleInterestWorld;
  #roles: readonly string[];
  #suppressed: readonly string[] = [];
  #terms: FrameworkTerms;
  #looking: Timer | undefined;

  constructor(roles: readonly string[], terms: FrameworkTerms, world: RoleInterestWorld) {
    this.#roles = roles;
    this.#terms = terms;
    this.#world = world;
  }

  get terms(): FrameworkTerms {
    return this.#terms;
  }

  wants(role: string): boolean {
    return this.#world.wants?.(role) ?? true;
  }

  /** Everything anew. */
  update(roles: readonly string[], suppressed: readonly string[], terms: FrameworkTerms): void {
    this.#roles = roles;
    this.#suppressed = suppressed;
    this.#terms = terms;
  }

  /** None named: all. */
  suppressed(roles: readonly string[]): void {
    this.#suppressed = roles.length === 0 ? this.#roles : [...new Set([...this.#suppressed, ...roles])];
  }

  /** None named: all. */
  revived(roles: readonly string[]): void {
    this.#suppressed = roles.length === 0 ? [] : this.#suppressed.filter((role) => !roles.includes(role));
  }

  subscribeCall(): Call {
    if (this.#world.wants !== undefined) this.#suppressed = this.#roles.filter((role) => !this.wants(role));
    const suppressed = this.#suppressed.filter((role) => this.#roles.includes(role));
    return { type: 'SUBSCRIBE', roles: [...this.#roles], suppressed, ...this.#terms };
  }

  /** Looks in the next turn of the loop, once, which roles have work and which have none any more. */
  lookSoon(): void {
    if (this.#world.wants !== undefined) this.#looking ??= this.#world.clock.after(0, () => this.#look());
  }

  stop(): void {
    this.#looking?.cancel();
  }

  #look(): void {
    this.#looking = undefined;
    const changed = this.#roles.map((role) => ({ role, wanted: this.wants(role) }));
    const suppress = changed.filter(({ role, wanted }) => !wanted && !this.#suppressed.includes(role));
    const revive = changed.filter(({ role, wanted }) => wanted && this.#suppressed.includes(role));
    if (suppress.length > 0) this.#world.suppress(suppress.map(({ role }) => role));
    if (revive.length > 0) this.#world.revive(revive.map(({ role }) => role));
  }
}
