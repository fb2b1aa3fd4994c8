import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** How far and how narrow: half of the round trip in milliseconds, and bits a second each way. */
export interface LinkShape {
  readonly oneWayMs: number;
  readonly bitsPerSecond: number;
}

/** A way to one port of this machine on which every byte takes its time. */
export interface DelayingLink {
  readonly url: string;
  close(): void;
}

/**
 * Opens such a link to `target` on a free port. Losses are not imitated: TCP hides them as more of the same delay. A
 * connection is made at once; what is measured goes over one that stands.
 */
export async function openDelayingLink(
  target: { readonly host: string; readonly port: number },
  shape: LinkShape,
): Promise<DelayingLink> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ ...target, noDelay: true });
    near.setNoDelay(true);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      const arrives = arrivals(shape);
      from.on('data', (piece: Buffer) => {
        setTimeout(() => to.write(piece), arrives(piece.length, performance.now()) - performance.now());
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    // No host that masters name: whoever comes this way is never sent past the link.
    url: `mqtt://localhost:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** When a piece has come across: pieces queue before the narrow end, then all travel equally long. */
function arrivals({ oneWayMs, bitsPerSecond }: LinkShape): (bytes: number, nowMs: number) => number {
  let freeMs = 0;
  return (bytes, nowMs) => {
    freeMs = Math.max(freeMs, nowMs) + (bytes * 8 * 1_000) / bitsPerSecond;
    return freeMs + oneWayMs;
  };
}
