/** A few dozen may come at once. */
const AT_ONCE = 50;
/** What a connection costs a master from its first byte to its session, and room for what else it does. */
const PLAIN_MS = 2;
/** With the handshake of TLS and a certificate on both sides. */
const SECURE_MS = 4;
const LONGEST_MS = 60_000;

/** Milliseconds over which that many connections are to move to a new leader, so that it is in time for each. */
export function spreadMs(connections: number, secure: boolean): number {
  return connections <= AT_ONCE ? 0 : Math.min(LONGEST_MS, (secure ? SECURE_MS : PLAIN_MS) * connections);
}
