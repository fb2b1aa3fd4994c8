import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What passed a proxy so far. */
export interface Traffic {
  /** Of TCP's payload, both ways together. */
  readonly bytes: number;
  /** Pieces that arrived: about one IP packet each, while there is little traffic. */
  readonly pieces: number;
  readonly connections: number;
}

/** A TCP proxy on a free port of this machine that counts. */
export interface CountingProxy {
  readonly port: number;
  /** Where connections go from now on. */
  target: { readonly host: string; readonly port: number };
  traffic(): Traffic;
  close(): void;
}

/** Opens a proxy; set its `target` before anybody connects. */
export async function openCountingProxy(): Promise<CountingProxy> {
  const counted = { bytes: 0, pieces: 0, connections: 0 };
  const sockets = new Set<Socket>();
  const proxy = { target: { host: '127.0.0.1', port: 0 } };
  const server = createServer((near) => {
    counted.connections++;
    const far = connect({ ...proxy.target, noDelay: true });
    near.setNoDelay(true);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (piece: Buffer) => {
        counted.bytes += piece.length;
        counted.pieces++;
        to.write(piece);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(proxy, {
    port: (server.address() as AddressInfo).port,
    traffic: () => ({ ...counted }),
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  });
}
