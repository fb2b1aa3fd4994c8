/** How long silence may last before a leader says so. All times are monotonic milliseconds. */
export interface Patience {
  /** From the last packet to disconnected. */
  readonly leaseMs: number;
  /** From disconnected to unreachable. */
  readonly unreachableMs: number;
  readonly unreachableMeteredMs: number;
}

interface Contact {
  readonly metered: boolean;
  connected: boolean;
  /** Since when it is connected or disconnected; for a connected one, renewed by every packet. */
  sinceMs: number;
}

/**
 * Which agents are in contact: the leader's memory, never logged. A new leader starts every agent as if it had been
 * heard at the beginning of the term, so that each gets one full period.
 */
export class Contacts {
  readonly #contacts = new Map<string, Contact>();
  readonly #patience: Patience;

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  /** An agent of the registry that this leader has not heard yet. */
  expect(agent: string, metered: boolean, nowMs: number): void {
    this.#contacts.set(agent, { metered, connected: false, sinceMs: nowMs + this.#lease(metered) });
  }

  heard(agent: string, metered: boolean, nowMs: number): void {
    this.#contacts.set(agent, { metered, connected: true, sinceMs: nowMs });
  }

  lost(agent: string, nowMs: number): void {
    const contact = this.#contacts.get(agent);
    if (contact?.connected === true) {
      contact.connected = false;
      contact.sinceMs = nowMs;
    }
  }

  forget(agent: string): void {
    this.#contacts.delete(agent);
  }

  connected(agent: string): boolean {
    return this.#contacts.get(agent)?.connected ?? false;
  }

  lastSeenMs(agent: string): number | undefined {
    const contact = this.#contacts.get(agent);
    return contact?.connected === true ? contact.sinceMs : undefined;
  }

  /** A packet was seen: renews the lease of a connected agent. */
  renew(agent: string, packetMs: number): void {
    const contact = this.#contacts.get(agent);
    if (contact?.connected === true && packetMs > contact.sinceMs) contact.sinceMs = packetMs;
  }

  /** Whose lease has run out, and who has been silent so long that it is to be proposed as unreachable. */
  due(nowMs: number): { expired: string[]; unreachable: string[] } {
    const expired: string[] = [];
    const unreachable: string[] = [];
    for (const [agent, contact] of this.#contacts) {
      if (this.#deadline(contact) > nowMs) continue;
      (contact.connected ? expired : unreachable).push(agent);
    }
    return { expired, unreachable };
  }

  /** When `due` may have something to say; undefined where there are no agents. */
  nextMs(): number | undefined {
    let next: number | undefined;
    for (const contact of this.#contacts.values()) {
      const deadline = this.#deadline(contact);
      if (next === undefined || deadline < next) next = deadline;
    }
    return next;
  }

  /** When `due` may name that agent; undefined where it is not known. */
  deadlineMs(agent: string): number | undefined {
    const contact = this.#contacts.get(agent);
    return contact && this.#deadline(contact);
  }

  #deadline({ connected, metered, sinceMs }: Contact): number {
    const { unreachableMs, unreachableMeteredMs } = this.#patience;
    return sinceMs + (connected ? this.#lease(metered) : metered ? unreachableMeteredMs : unreachableMs);
  }

  /** 1.5 keep-alives: by then an idle agent has noticed, too, that its broker is gone or frozen. */
  #lease(metered: boolean): number {
    return this.#patience.leaseMs * (metered ? 4 : 1);
  }
}
