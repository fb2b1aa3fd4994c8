/** What one thing costs on the link besides its payload, both ways, in bytes. */
export interface LinkShape {
  /** TLS frames every record. */
  readonly tls: boolean;
  /** It is spared packets (docs/frugality.md): it opens with a greeting, and answers are not acknowledged. Default false. */
  readonly metered?: boolean;
}

/** IPv4 and TCP, with the timestamps that Linux adds. */
const HEADERS = 52;
/** Of TLS 1.3: five bytes before a record, its type and tag after it. */
const RECORD = 22;
/** Payload of one TCP segment behind most modems. */
const SEGMENT = 1_360;
/** PUBLISH but its topic and payload, QoS 1: fixed header of four bytes, two lengths. */
const PUBLISH = 8;
const PUBACK = 4;
const PING = 2;
/**
 * CONNECT, CONNACK, SUBSCRIBE and SUBACK of an agent, and the segments that open and close TCP; the TLS handshake, which is
 * mostly a resumed one. With the greeting they are the 3.5 kB that `node build/bench/main.js day` counts a reconnect.
 */
const CONNECT = 800;
const HANDSHAKE = 1_250;
/** The same where the agent opens with its greeting, and offers few suites. */
const OPENING = 550;
const SHORT_HANDSHAKE = 1_000;

/** A message of QoS 1, its acknowledgement, and TCP's of that; of QoS 0 TCP's alone. */
export function messageBytes(payload: number, topic: number, { tls }: LinkShape, qos: 0 | 1 = 1): number {
  const whole = payload + topic + PUBLISH;
  if (qos === 0) return whole + (tls ? RECORD : 0) + HEADERS * (Math.ceil(whole / SEGMENT) + 1);
  const segments = Math.ceil(whole / SEGMENT);
  // TCP acknowledges every other segment of many by itself.
  return whole + PUBACK + (tls ? 2 * RECORD : 0) + HEADERS * (segments + 2 + Math.floor(segments / 2));
}

/** PINGREQ, PINGRESP, and TCP's acknowledgement of that. */
export function keepAliveBytes({ tls }: LinkShape): number {
  return 2 * PING + (tls ? 2 * RECORD : 0) + 3 * HEADERS;
}

/** A connection opened and closed, before anything is said on it. */
export function connectBytes({ tls, metered = false }: LinkShape): number {
  if (metered) return OPENING + (tls ? SHORT_HANDSHAKE : 0);
  return CONNECT + (tls ? HANDSHAKE : 0);
}
