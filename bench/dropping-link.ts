import { openRelay, type Relay } from './relay.ts';

/** How a link fails: a cut one ends its connections and takes none, a stalled one carries nothing and says nothing. */
export type Failure = 'cut' | 'stall';

/** A way to one port of this machine that can be made to fail. */
export interface DroppingLink extends Pick<Relay, 'url' | 'port' | 'close'> {
  drop(failure: Failure): void;
  restore(): void;
}

/** Opens a link to `target` on a free port of `host`. */
export async function openDroppingLink(
  target: { readonly host: string; readonly port: number },
  host = '127.0.0.1',
): Promise<DroppingLink> {
  let down: Failure | undefined;
  const { url, port, sockets, close } = await openRelay(target, {
    host,
    admits: () => down !== 'cut',
    carry: (from, to) => {
      from.on('data', (piece: Buffer) => to.write(piece));
      if (down === 'stall') from.pause();
    },
  });
  return {
    url,
    port,
    close,
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
  };
}
