import type { Clock, Timer } from '../io/clock.ts';

const EVERY_MS = 10_000;

/** What has passed through a broker. */
export interface BrokerStats {
  readonly clients: number;
  readonly connectionsTotal: number;
  readonly subscriptions: number;
  readonly retained: number;
  readonly messagesReceived: number;
  readonly messagesSent: number;
  readonly bytesReceived: number;
  /** What was refused, by reason. */
  readonly rejected: Readonly<Record<string, number>>;
}

/**
 * `$SYS/broker/*` as MQTT Explorer's panel reads it. Written when somebody subscribes below `$SYS`, and every ten
 * seconds while anybody does; otherwise nothing is periodic.
 */
export class BrokerStatistics {
  readonly #clock: Clock;
  readonly #stats: () => BrokerStats;
  readonly #publish: (topic: string, text: string) => void;
  readonly #version: string;
  readonly #startedMs: number;
  #watchers = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, version: string, stats: () => BrokerStats, publish: (topic: string, text: string) => void) {
    this.#clock = clock;
    this.#version = version;
    this.#stats = stats;
    this.#publish = publish;
    this.#startedMs = clock.monotonic();
  }

  watch(): void {
    this.#watchers++;
    this.#write();
    this.#arm();
  }

  unwatch(): void {
    this.#watchers = Math.max(0, this.#watchers - 1);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#watchers === 0) return;
    this.#timer = this.#clock.after(EVERY_MS, () => {
      this.#timer = undefined;
      if (this.#watchers === 0) return;
      this.#write();
      this.#arm();
    });
  }

  #write(): void {
    const stats = this.#stats();
    const upS = Math.round((this.#clock.monotonic() - this.#startedMs) / 1000);
    const minutes = Math.max(1, upS / 60);
    const values: Record<string, string | number> = {
      version: this.#version,
      uptime: `${upS} seconds`,
      'clients/total': stats.clients,
      'clients/connected': stats.clients,
      'subscriptions/count': stats.subscriptions,
      'retained messages/count': stats.retained,
      'messages/received': stats.messagesReceived,
      'messages/sent': stats.messagesSent,
      'load/messages/received/5min': round(stats.messagesReceived / minutes),
      'load/messages/sent/5min': round(stats.messagesSent / minutes),
      'bytes/received': stats.bytesReceived,
    };
    for (const [name, value] of Object.entries(values)) this.#publish(`$SYS/broker/${name}`, String(value));
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
