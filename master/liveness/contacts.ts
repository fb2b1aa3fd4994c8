/** How long silence may last before a leader says so. All times are monotonic milliseconds. */
export interface Patience {
  /** From the last packet to disconnected; four times as much on a metered link. */
  readonly leaseMs: number;
  /** The longest keep-alive that an agent may go over to. */
  readonly longestKeepAliveMs: number;
  readonly longestKeepAliveMeteredMs: number;
  /** From disconnected to unreachable. */
  readonly unreachableMs: number;
  readonly unreachableMeteredMs: number;
}

interface Contact {
  readonly metered: boolean;
  connected: boolean;
  /** Since when it is connected or disconnected; for a connected one, renewed by every packet. */
  sinceMs: number;
  /** It has said that it may be silent for so long. */
  keepAliveMs: number | undefined;
  /** When it was first told something since its last packet. */
  toldMs: number | undefined;
}

/**
 * Which agents are in contact: the leader's memory, never logged. A new leader starts every agent as if it had been
 * heard at the beginning of the term, so that each gets one full period. A keep-alive that has grown is a longer lease for
 * who has nothing to answer: whoever was told something and shows no sign of life has the usual one.
 */
export class Contacts {
  readonly #contacts = new Map<string, Contact>();
  readonly #patience: Patience;

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  /** The longest keep-alive that an agent may go over to. */
  longestKeepAliveMs(metered: boolean): number {
    const { longestKeepAliveMs, longestKeepAliveMeteredMs } = this.#patience;
    return metered ? longestKeepAliveMeteredMs : longestKeepAliveMs;
  }

  /** An agent of the registry that this leader has not heard yet: its keep-alive may be the longest. */
  expect(agent: string, metered: boolean, nowMs: number): void {
    const sinceMs = nowMs + this.#lease(metered, this.longestKeepAliveMs(metered));
    this.#contacts.set(agent, { metered, connected: false, sinceMs, keepAliveMs: undefined, toldMs: undefined });
  }

  /** Registered or resumed, and says what its keep-alive is, or nothing. */
  greeted(agent: string, metered: boolean, nowMs: number, keepAliveMs?: number): void {
    this.#contacts.set(agent, { metered, connected: true, sinceMs: nowMs, keepAliveMs, toldMs: undefined });
  }

  /** A message of its session. */
  heard(agent: string, metered: boolean, nowMs: number): void {
    this.greeted(agent, metered, nowMs, this.#contacts.get(agent)?.keepAliveMs);
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
    if (contact?.connected !== true || packetMs <= contact.sinceMs) return;
    contact.sinceMs = packetMs;
    if (contact.toldMs !== undefined && packetMs >= contact.toldMs) contact.toldMs = undefined;
  }

  /** Something was sent to it, which it acknowledges if it is there. */
  told(agent: string, nowMs: number): void {
    const contact = this.#contacts.get(agent);
    if (contact?.connected === true) contact.toldMs ??= nowMs;
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

  #deadline({ connected, metered, sinceMs, keepAliveMs, toldMs }: Contact): number {
    const { unreachableMs, unreachableMeteredMs } = this.#patience;
    if (!connected) return sinceMs + (metered ? unreachableMeteredMs : unreachableMs);
    const silentMs = sinceMs + this.#lease(metered, keepAliveMs ?? 0);
    return toldMs === undefined ? silentMs : Math.min(silentMs, toldMs + this.#lease(metered, 0));
  }

  /** By then an idle agent has noticed, too, that its broker is gone or frozen. */
  #lease(metered: boolean, keepAliveMs: number): number {
    const leaseMs = this.#patience.leaseMs * (metered ? 4 : 1);
    return Math.max(leaseMs, Math.min(keepAliveMs, this.longestKeepAliveMs(metered)) + leaseMs / 3);
  }
}
