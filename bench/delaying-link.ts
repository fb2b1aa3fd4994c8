import { openRelay, type Relay } from './relay.ts';

/** How far and how narrow: half of the round trip in milliseconds, and bits a second each way. */
export interface LinkShape {
  readonly oneWayMs: number;
  readonly bitsPerSecond: number;
}

/** A way to one port of this machine on which every byte takes its time. */
export type DelayingLink = Pick<Relay, 'url' | 'close'>;

/**
 * Opens such a link to `target` on a free port. Losses are not imitated: TCP hides them as more of the same delay. A
 * connection is made at once; what is measured goes over one that stands.
 */
export function openDelayingLink(
  target: { readonly host: string; readonly port: number },
  shape: LinkShape,
): Promise<DelayingLink> {
  return openRelay(target, {
    carry: (from, to) => {
      const arrives = arrivals(shape);
      from.on('data', (piece: Buffer) => {
        setTimeout(() => to.write(piece), arrives(piece.length, performance.now()) - performance.now());
      });
    },
  });
}

/** When a piece has come across: pieces queue before the narrow end, then all travel equally long. */
function arrivals({ oneWayMs, bitsPerSecond }: LinkShape): (bytes: number, nowMs: number) => number {
  let freeMs = 0;
  return (bytes, nowMs) => {
    freeMs = Math.max(freeMs, nowMs) + (bytes * 8 * 1_000) / bitsPerSecond;
    return freeMs + oneWayMs;
  };
}
