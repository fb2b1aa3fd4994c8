import type { Speaker } from './access.ts';

/** A connection that stands. */
export interface LiveSession {
  readonly clientId: string;
  readonly speaker: Speaker;
}

/** Roles of which only one connection may speak at a time: a second one is another installation under the same name. */
const EXCLUSIVE = new Set(['agent', 'framework']);

/**
 * Whether a new connection may stand beside the live ones. The same speaker under the same client id takes its old
 * session over ([MQTT-3.1.4-2]). Nobody takes over the client id of another, and a second connection under an
 * exclusive name is refused without disturbing the first. Undefined: it may.
 */
export function refuseSession(live: Iterable<LiveSession>, clientId: string, speaker: Speaker): string | undefined {
  for (const session of live) {
    const same = session.speaker.name === speaker.name && session.speaker.role === speaker.role;
    if (session.clientId === clientId) {
      if (same) continue;
      return `the client id ${clientId} belongs to a live connection of ${session.speaker.name}`;
    }
    // An anonymous connection declares no role: what it is shows in its client id, `name~installation`.
    const exclusive =
      EXCLUSIVE.has(speaker.role) ||
      (speaker.role === 'local' && isInstallation(clientId) && isInstallation(session.clientId));
    if (same && exclusive) return `${speaker.name} is connected already, from another installation`;
  }
  return undefined;
}

/** The roles under which a connection stands for an agent or a framework; `local` showed no token and may be either. */
export type PeerRole = 'agent' | 'framework' | 'local';

/**
 * As what a connection stands for its name: that connection's end is the end of contact with the peer, its packets are
 * signs of life. Undefined for people, and for whoever asks on this machine under a name that a peer may have too.
 */
export function peerRole({ role }: Speaker, clientId: string): PeerRole | undefined {
  if (role === 'agent' || role === 'framework') return role;
  return role === 'local' && !clientId.includes('/') ? role : undefined;
}

/** Agents and frameworks connect as `name~installation`, clients as `name/session`. */
function isInstallation(clientId: string): boolean {
  return clientId.includes('~');
}
