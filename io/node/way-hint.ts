/** What an error of a connection to a broker means for whoever wrote its URL; the first that fits. */
const HINTS: readonly (readonly [error: RegExp, hint: string])[] = [
  [
    /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|CERT_UNTRUSTED/,
    'Name whoever signed its certificate with --ca ca.pem; a self-signed one is its own.',
  ],
  [/ALTNAME_INVALID/, 'Write a name or address of it that is in its certificate.'],
  [/CERT_(HAS_EXPIRED|NOT_YET_VALID)/, "Its certificate is to be renewed, or this machine's clock is wrong."],
  [
    /^(mqtts|wss):.*(no TLS is spoken|closed the connection|reset the connection)/,
    'Is that a port without TLS? Then write mqtt:// (ws:// for MQTT over WebSocket).',
  ],
  [
    /^(mqtt|ws):.*(closed the connection|reset the connection)/,
    'Is that a port with TLS, or another kind of port? Write mqtts:// for TLS, ws://HOST:PORT/mqtt for MQTT over WebSocket.',
  ],
  [
    /header flag bits|Cannot parse|Malformed/,
    'No MQTT is spoken at that port: MQTT over WebSocket is ws://HOST:PORT/mqtt.',
  ],
];

/** What to try where `URL: why` is how a connection to a broker ended; undefined where that says enough. */
export function wayHint(message: string): string | undefined {
  return HINTS.find(([error]) => error.test(message))?.[1];
}
