import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A road to a TCP server that can be cut: every connection through it breaks, and new ones are refused until it is mended. */
export interface CuttableRoad {
  readonly url: string;
  /** Bytes that came from the server so far. */
  received(): number;
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function roadTo(url: string): Promise<CuttableRoad> {
  const { hostname, port } = new URL(url);
  const ends = new Set<Socket>();
  let open = true;
  let bytes = 0;
  const server = createServer((near) => {
    if (!open) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const end of [near, far]) {
      ends.add(end);
      end.on('error', () => undefined);
      end.on('close', () => {
        ends.delete(end);
        near.destroy();
        far.destroy();
      });
    }
    far.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    near.pipe(far).pipe(near);
    return undefined;
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    open = false;
    for (const end of ends) end.destroy();
  };
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received: () => bytes,
    cut,
    mend: () => {
      open = true;
    },
    close: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
