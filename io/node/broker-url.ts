import { BusError } from '../bus.ts';

/** Where a broker listens. */
export interface BrokerUrl {
  /** As it was given. */
  readonly text: string;
  readonly scheme: 'mqtt' | 'mqtts' | 'ws' | 'wss';
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Of a WebSocket: default `/mqtt`. */
  readonly path: string;
  /** TLS. */
  readonly secure: boolean;
}

const DEFAULT_PORTS = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const;

/**
 * Reads `mqtt://host[:port]`, `mqtts://`, `ws://host[:port][/path]` or `wss://`. Throws a BusError `BAD_URL`; also for
 * credentials in the URL, since URLs are logged, and a token in one would be too.
 */
export function parseBrokerUrl(text: string): BrokerUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const scheme = url?.protocol.slice(0, -1);
  if (url?.username || url?.password)
    throw new BusError('BAD_URL', 'a broker URL holds no credentials: pass the name and the token apart');
  if (
    url === undefined ||
    url.hostname === '' ||
    (scheme !== 'mqtt' && scheme !== 'mqtts' && scheme !== 'ws' && scheme !== 'wss')
  ) {
    throw new BusError(
      'BAD_URL',
      `not a broker URL: ${JSON.stringify(text.slice(0, 200))}; write it like mqtt://host:1883, mqtts://, ws:// or wss://`,
    );
  }
  const overWebSocket = scheme === 'ws' || scheme === 'wss';
  return {
    text,
    scheme,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? DEFAULT_PORTS[scheme] : Number(url.port),
    path: overWebSocket ? (url.pathname === '/' ? '/mqtt' : url.pathname) + url.search : '',
    secure: scheme === 'mqtts' || scheme === 'wss',
  };
}

/** Whether the connection never leaves this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Reads `urls` (at least one), and throws a BusError `INSECURE` where `secret` would travel in the clear beyond this machine. */
export function parseBrokerUrls(urls: readonly string[], secret: boolean): BrokerUrl[] {
  if (urls.length === 0) throw new BusError('BAD_URL', 'no broker URL is given');
  return urls.map((text) => {
    const url = parseBrokerUrl(text);
    if (secret && !url.secure && !isLoopback(url.host)) {
      throw new BusError(
        'INSECURE',
        `the token would travel over a plain connection to ${url.host}: use ${url.scheme}s://`,
      );
    }
    return url;
  });
}
