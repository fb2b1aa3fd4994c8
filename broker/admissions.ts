import type { Clock, Timer } from '../io/clock.ts';
import type { Arrival } from '../io/listener.ts';
import { Admission, type AdmissionLimits, type Admitted } from './admission/admission.ts';

/** Machines whose addresses are remembered as those that go first. */
const ADDRESSES = 64;

/**
 * Lets connections in at the pace at which they can be worked on: thousands of agents that come back at once must delay
 * neither each other beyond what their clients wait for, nor what goes on meanwhile.
 */
export class Admissions {
  readonly #admission: Admission<Arrival>;
  readonly #clock: Clock;
  readonly #open: (arrival: Arrival) => void;
  readonly #refused: () => void;
  readonly #goFirst = new Set<string>();
  #timer: Timer | undefined;

  /** `open` is told to begin with a connection, `refused` that one was turned away. */
  constructor(limits: AdmissionLimits, clock: Clock, open: (arrival: Arrival) => void, refused: () => void) {
    this.#admission = new Admission(limits);
    this.#clock = clock;
    this.#open = open;
    this.#refused = refused;
  }

  get waiting(): number {
    return this.#admission.waiting;
  }

  /** What comes from that address goes first from now on. */
  goesFirst(address: string): void {
    if (this.#goFirst.size < ADDRESSES) this.#goFirst.add(address);
  }

  arrived(arrival: Arrival): void {
    const first = arrival.sameMachine || this.#goFirst.has(arrival.address);
    this.#act(this.#admission.arrived(arrival, first, this.#clock.monotonic()));
  }

  /** Its CONNECT is answered, or it is gone. */
  served(arrival: Arrival): void {
    this.#act(this.#admission.served(arrival, this.#clock.monotonic()));
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #act({ open, refuse }: Admitted<Arrival>): void {
    for (const arrival of refuse) {
      this.#refused();
      arrival.refuse();
    }
    for (const arrival of open) this.#open(arrival);
    this.#timer?.cancel();
    this.#timer = undefined;
    const nextMs = this.#admission.nextMs();
    if (nextMs === undefined) return;
    const waitMs = Math.max(0, Math.ceil(nextMs - this.#clock.monotonic()));
    this.#timer = this.#clock.after(waitMs, () => this.#act(this.#admission.due(this.#clock.monotonic())));
  }
}
