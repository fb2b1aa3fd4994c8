import type { Will } from '../io/bus.ts';
import { PRESENCE } from '../protocol/agent-link.ts';
import { write } from '../protocol/envelope.ts';
import { topicOf } from '../protocol/topics.ts';

/**
 * What an agent says of its own being there. Each connection has a number, so that the will of a lost one, coming late,
 * ends no newer session.
 */
export class PresenceNotes {
  /** Minted at random, once a process. */
  readonly incarnation: string;
  readonly topic: string;
  #session = 0;

  constructor(prefix: string, name: string, incarnation: string) {
    this.incarnation = incarnation;
    this.topic = topicOf(prefix, { kind: 'presence', name });
  }

  /** Of the connection that is about to be made. */
  will(): Will {
    this.#session++;
    return { topic: this.topic, payload: this.note(false), qos: 1 };
  }

  /** Of the present connection, or of the one that is about to be made. */
  get session(): number {
    return this.#session;
  }

  note(online: boolean): Uint8Array {
    return write(PRESENCE, { type: 'PRESENCE', incarnation: this.incarnation, session: this.#session, online });
  }
}
