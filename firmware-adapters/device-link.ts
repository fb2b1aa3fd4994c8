import type { Bus } from '../io/bus.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Log } from '../io/log.ts';
import type { ActionResult, DeviceFacts, DeviceFirmware, DeviceMessage, Script, Turn } from './device.ts';

/** Filters to subscribe to, at most: every one costs the broker. */
const FILTERS = 2_000;
/** Questions that wait for the connection. */
const QUESTIONS = 1_000;

export interface DeviceLinkOptions {
  /** To the broker that the devices use. */
  readonly bus: Bus;
  readonly firmware: DeviceFirmware;
  readonly clock: Clock;
  readonly log: Log;
}

/** An action on its way. */
export interface RunningAction {
  readonly result: Promise<ActionResult>;
  /** Gives it up: nothing more is sent, and `result` never settles. What the device has begun may go on. */
  stop(): void;
}

interface Underway {
  readonly device: string;
  readonly script: Script;
  readonly progress: (text: string) => void;
  readonly settle: (result: ActionResult) => void;
  timer: Timer | undefined;
}

/** Hears the devices of one broker, and carries actions to them. */
export class DeviceLink {
  readonly #options: DeviceLinkOptions;
  readonly #filters = new Set<string>();
  readonly #underway = new Set<Underway>();
  /** What is retained is heard while the connection is still being made. */
  readonly #questions: DeviceMessage[] = [];
  #changed: (id: string, online: boolean) => void = () => undefined;

  constructor(options: DeviceLinkOptions) {
    this.#options = options;
  }

  /**
   * Listens. `changed` is told of each device when it is found, and whenever what is known of it changes; one whose place
   * another board has taken is not online.
   */
  start(changed: (id: string, online: boolean) => void): void {
    this.#changed = changed;
    const { bus, firmware } = this.#options;
    bus.onConnected(() => {
      for (const question of this.#questions.splice(0)) this.#publish(question);
    });
    for (const filter of firmware.filters) this.#subscribe(filter);
  }

  device(id: string): DeviceFacts | undefined {
    return this.#options.firmware.device(id);
  }

  /** Begins an action on a device. `progress` is told how far it is. */
  run(device: string, argv: readonly string[], progress: (text: string) => void): RunningAction {
    const script = this.#options.firmware.script(device, argv);
    if (!('next' in script)) return { result: Promise.resolve(script), stop: () => undefined };
    let settle: (result: ActionResult) => void = () => undefined;
    const result = new Promise<ActionResult>((resolve) => {
      settle = resolve;
    });
    const underway: Underway = { device, script, progress, settle, timer: undefined };
    this.#underway.add(underway);
    this.#advance(underway, () => script.next());
    return {
      result,
      stop: () => {
        if (!this.#underway.delete(underway)) return;
        underway.timer?.cancel();
        script.return({ code: 0, message: '' });
      },
    };
  }

  #subscribe(filter: string): void {
    if (this.#filters.has(filter) || this.#filters.size >= FILTERS) return;
    this.#filters.add(filter);
    const { bus, log } = this.#options;
    bus
      .subscribe(filter, 1, ({ topic, payload }) => this.#heard({ topic, text: textOf(payload) }))
      .catch((error: unknown) => log.warn('devices not heard', { filter, error: String(error) }));
  }

  #heard(message: DeviceMessage): void {
    const { firmware } = this.#options;
    const { changed, subscribe, publish } = firmware.hear(message);
    for (const filter of subscribe) this.#subscribe(filter);
    for (const question of publish) {
      if (this.#options.bus.connected) this.#publish(question);
      else if (this.#questions.length < QUESTIONS) this.#questions.push(question);
    }
    for (const id of changed) this.#changed(id, firmware.device(id)?.online === true);
    const owner = firmware.ownerOf(message.topic);
    for (const underway of [...this.#underway])
      if (underway.device === owner) this.#advance(underway, () => underway.script.next(message));
  }

  #advance(underway: Underway, next: () => IteratorResult<Turn, ActionResult>): void {
    const step = next();
    if (step.done === true) {
      underway.timer?.cancel();
      this.#underway.delete(underway);
      underway.settle(step.value);
      return;
    }
    const { publish = [], progress, waitMs } = step.value;
    if (progress !== undefined) underway.progress(progress);
    if (waitMs !== undefined) {
      underway.timer?.cancel();
      underway.timer = this.#options.clock.after(waitMs, () => {
        if (this.#underway.has(underway)) this.#advance(underway, () => underway.script.next('late'));
      });
    }
    for (const message of publish) this.#publish(message);
  }

  /** What is lost is not sent again: the action's deadline says so. */
  #publish({ topic, text }: DeviceMessage): void {
    const { bus, log } = this.#options;
    bus
      .publish(topic, new TextEncoder().encode(text), { qos: 1 })
      .catch((error: unknown) => log.warn('device not told', { topic, error: String(error) }));
  }
}

/** Bytes that are no UTF-8 become U+FFFD. */
function textOf(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}
