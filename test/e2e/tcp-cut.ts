import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A road to a TCP server that can be cut: every connection through it breaks, and new ones are refused until it is mended. */
export interface CuttableRoad {
  readonly url: string;
  /** Bytes that came from the server so far. */
  received(): number;
  cut(): void;
  mend(): void;
  /** From now on it breaks after every so many bytes, wherever in a packet that is, and can be taken again at once. */
  breakEvery(bytes: number): void;
  /** How often it did. */
  breaks(): number;
  close(): Promise<void>;
}

export async function roadTo(url: string): Promise<CuttableRoad> {
  const { hostname, port } = new URL(url);
  const ends = new Set<Socket>();
  let open = true;
  let bytes = 0;
  let passed = 0;
  let limit = Number.POSITIVE_INFINITY;
  let breaks = 0;
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
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (piece: Buffer) => {
        if (from === far) bytes += piece.length;
        passed += piece.length;
        const over = passed - limit;
        if (!to.write(over > 0 ? piece.subarray(0, piece.length - over) : piece)) from.pause();
        if (over <= 0) return;
        passed = 0;
        breaks++;
        for (const end of [near, far]) end.end();
        for (const end of [near, far]) end.destroySoon();
      });
      to.on('drain', () => from.resume());
      from.on('end', () => to.end());
    }
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
    breakEvery: (every) => {
      passed = 0;
      limit = every;
    },
    breaks: () => breaks,
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
