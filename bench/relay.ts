import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A port of this machine through which another is reached. */
export interface Relay {
  readonly port: number;
  /** By no host that masters name: whoever comes this way is never sent past it. */
  readonly url: string;
  /** Both ends of every connection there is. */
  readonly sockets: ReadonlySet<Socket>;
  close(): void;
}

export interface RelayOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Whether a connection is taken now. Default: always. */
  readonly admits?: () => boolean;
  /** Sees to it that what comes from one end reaches the other; called once for each direction of a connection. */
  readonly carry: (from: Socket, to: Socket) => void;
}

/** Opens a relay to `target` on a free port. */
export async function openRelay(
  target: { readonly host: string; readonly port: number },
  { host = '127.0.0.1', admits = () => true, carry }: RelayOptions,
): Promise<Relay> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    near.on('error', () => undefined);
    if (!admits()) return void near.destroy();
    const far = connect({ ...target, noDelay: true });
    near.setNoDelay(true);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      carry(from, to);
    }
    return undefined;
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `mqtt://localhost:${port}`,
    sockets,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
