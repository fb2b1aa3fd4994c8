import type { Clock, Timer } from '../io/clock.ts';
import type { Outgoing } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import type { CALLS } from '../protocol/scheduler.ts';

/** One value of the framework's store, with the version that the next write must name. */
export interface StoreEntry {
  readonly key: string;
  readonly value: string;
  readonly version: number;
}

type Send = (message: Outgoing<typeof CALLS>) => void;

interface Writing {
  readonly key: string;
  readonly value: string | null;
  readonly version: number;
  readonly done: (outcome: number | Fault) => void;
}

interface Loading {
  readonly prefix: string;
  readonly done: (outcome: StoreEntry[] | Fault) => void;
  parts: (readonly StoreEntry[])[];
}

const AGAIN_MS = 5_000;

/**
 * Requests to the store that are not answered yet. Each is sent again after 5 s and after every registration; a write
 * under its own request id, so that it happens once, and a load under a new one, so that no answer mixes two readings.
 */
export class StoreRequests {
  readonly #clock: Clock;
  readonly #mint: () => string;
  readonly #send: Send;
  readonly #writes = new Map<string, Writing>();
  readonly #loads = new Map<string, Loading>();
  #timer: Timer | undefined;

  constructor(clock: Clock, mint: () => string, send: Send) {
    this.#clock = clock;
    this.#mint = mint;
    this.#send = send;
  }

  store(key: string, value: string | null, version: number): Promise<number | Fault> {
    const { promise, resolve } = open<number | Fault>();
    const request = this.#mint();
    const writing = { key, value, version, done: resolve };
    this.#writes.set(request, writing);
    this.#write(request, writing);
    this.#watch();
    return promise;
  }

  load(prefix: string): Promise<StoreEntry[] | Fault> {
    const { promise, resolve } = open<StoreEntry[] | Fault>();
    const request = this.#mint();
    this.#loads.set(request, { prefix, done: resolve, parts: [] });
    this.#send({ type: 'LOAD', request, prefix });
    this.#watch();
    return promise;
  }

  stored(request: string, version: number, fault: Fault | undefined): void {
    const writing = this.#writes.get(request);
    if (writing === undefined) return;
    // A leader that just lost its term does not know whether the write happened: asking again under the same id does.
    if (fault?.code === 'NO_LEADER') return;
    this.#writes.delete(request);
    writing.done(fault ?? version);
  }

  loaded(request: string, part: number, last: boolean, entries: readonly StoreEntry[]): void {
    const loading = this.#loads.get(request);
    if (loading === undefined || part !== loading.parts.length) return;
    loading.parts.push(entries);
    if (!last) return;
    this.#loads.delete(request);
    loading.done(loading.parts.flat());
  }

  sendAgain(): void {
    for (const [request, writing] of this.#writes) this.#write(request, writing);
    for (const [request, loading] of [...this.#loads]) {
      this.#loads.delete(request);
      const renewed = this.#mint();
      this.#loads.set(renewed, { ...loading, parts: [] });
      this.#send({ type: 'LOAD', request: renewed, prefix: loading.prefix });
    }
  }

  /** Ends every open request: the outcome is unknown. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const fault = new Fault('TIMED_OUT', 'the driver was stopped before the store answered');
    for (const { done } of this.#writes.values()) done(fault);
    for (const { done } of this.#loads.values()) done(fault);
    this.#writes.clear();
    this.#loads.clear();
  }

  #write(request: string, { key, value, version }: Writing): void {
    this.#send({ type: 'STORE', request, key, value, version });
  }

  #watch(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#clock.after(AGAIN_MS, () => {
      this.#timer = undefined;
      if (this.#writes.size === 0 && this.#loads.size === 0) return;
      this.sendAgain();
      this.#watch();
    });
  }
}

function open<Value>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => {};
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
