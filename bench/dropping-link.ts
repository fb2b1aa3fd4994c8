import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** How a link fails: a cut one ends its connections and takes none, a stalled one carries nothing and says nothing. */
export type Failure = 'cut' | 'stall';

/** A way to one port of this machine that can be made to fail. */
export interface DroppingLink {
  readonly url: string;
  readonly port: number;
  drop(failure: Failure): void;
  restore(): void;
  close(): void;
}

/** Opens a link to `target` on a free port of `host`. */
export async function openDroppingLink(
  target: { readonly host: string; readonly port: number },
  host = '127.0.0.1',
): Promise<DroppingLink> {
  const sockets = new Set<Socket>();
  let down: Failure | undefined;
  const server = createServer((near) => {
    near.on('error', () => undefined);
    if (down === 'cut') return void near.destroy();
    const far = connect({ ...target, noDelay: true });
    near.setNoDelay(true);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (piece: Buffer) => to.write(piece));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      if (down === 'stall') from.pause();
    }
    return undefined;
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    // No host that masters name: whoever comes this way is never sent past the link.
    port: (server.address() as AddressInfo).port,
    url: `mqtt://localhost:${(server.address() as AddressInfo).port}`,
    drop: (failure) => {
      down = failure;
      for (const socket of sockets) {
        if (failure === 'cut') socket.destroy();
        else socket.pause();
      }
    },
    restore: () => {
      down = undefined;
      for (const socket of sockets) socket.resume();
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
