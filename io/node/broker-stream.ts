import { isIP, type Socket, connect as tcpConnect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import type { BrokerUrl } from './broker-url.ts';

/** An open way to a broker, or one that is opening: failures arrive as the stream's `error`. */
export interface BrokerStream {
  readonly stream: Duplex;
  /** What carries the stream: its counters are the bytes of the connection. Undefined until a WebSocket is upgraded. */
  carrier(): Socket | undefined;
}

/**
 * How long one address of a name may take before the next is tried as well. Node's 250 ms would give up on every
 * address of a broker behind a satellite or a bad cell.
 */
const PATIENCE = { autoSelectFamilyAttemptTimeout: 1_500 };

/** What a client shows and trusts in TLS. */
export interface ClientTls {
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: string;
  /** PEM of what it shows. */
  readonly certificate?: string;
  readonly key?: string;
  /** Every byte costs: it offers little to choose from ({@link FEW}). Default false. */
  readonly fewBytes?: boolean;
}

/**
 * What is offered where every byte costs: of Node's own list what all masters take, and nothing that is weaker. Node's
 * ClientHello is 180 bytes longer, and with a SHA-384 suite each handshake another 48. Where Node offers a key share of
 * ML-KEM (OpenSSL 3.5), that is 1.2 kB a connection and left out.
 */
const FEW = {
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
  ].join(':'),
  ecdhCurve: 'X25519:P-256:P-384:P-521',
  sigalgs: [
    ...['ecdsa_secp256r1_sha256', 'ecdsa_secp384r1_sha384', 'ecdsa_secp521r1_sha512', 'ed25519'],
    ...['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512'],
    ...['rsa_pkcs1_sha256', 'rsa_pkcs1_sha384', 'rsa_pkcs1_sha512'],
  ].join(':'),
};

/** What was agreed with one of the masters: with any of them the next handshake needs no certificates, for they share their keys. */
export interface Resumption {
  session: Buffer | undefined;
}

/** Starts a connection. TLS and WebSockets are loaded when first needed: most agents never pay for them. */
export async function openBrokerStream(
  url: BrokerUrl,
  shown: ClientTls,
  resumption: Resumption,
): Promise<BrokerStream> {
  switch (url.scheme) {
    case 'mqtt': {
      const socket = tcpConnect({ host: url.host, port: url.port, noDelay: true, ...PATIENCE });
      return { stream: socket, carrier: () => socket };
    }
    case 'mqtts': {
      const tls = await import('node:tls');
      const name = isIP(url.host) === 0 ? { servername: url.host } : {};
      const { session } = resumption;
      const again = session === undefined ? {} : { session };
      const socket = tls.connect({ host: url.host, port: url.port, ...name, ...again, ...tlsOf(shown), ...PATIENCE });
      socket.setNoDelay(true);
      socket.on('session', (fresh) => {
        resumption.session = fresh;
      });
      return { stream: socket, carrier: () => socket };
    }
    case 'ws':
    case 'wss': {
      const { WebSocket, createWebSocketStream } = await import('ws');
      const host = isIP(url.host) === 6 ? `[${url.host}]` : url.host;
      const webSocket = new WebSocket(`${url.scheme}://${host}:${url.port}${url.path}`, 'mqtt', {
        ...tlsOf(shown),
        // Costs 230 kB a connection at the broker, and saves nothing on messages this small.
        perMessageDeflate: false,
        ...PATIENCE,
      });
      let carrier: Socket | undefined;
      webSocket.once('upgrade', (response) => {
        carrier = response.socket;
      });
      return { stream: createWebSocketStream(webSocket), carrier: () => carrier };
    }
  }
}

function tlsOf({ ca, certificate, key, fewBytes }: ClientTls): SecureContextOptions & { ecdhCurve?: string } {
  return {
    ...(fewBytes === true ? FEW : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
  };
}
