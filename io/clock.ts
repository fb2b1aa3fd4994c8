/** Time, handed in: the simulator runs everything on virtual time from one seed. */

/** A pending call; `cancel` after it fired, or twice, does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since an arbitrary origin; never jumps, never goes back. All leases and deadlines use it. */
  monotonic(): number;
  /** Wall-clock milliseconds since 1970; may jump, or be wrong on a board without an RTC. For people only. */
  wall(): number;
  /** Calls `callback` once after `ms` (integer, at least 0). A pending timer does not keep the process alive by itself. */
  after(ms: number, callback: () => void): Timer;
}
