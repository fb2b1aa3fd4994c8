import type { ByteStream } from '../io/listener.ts';

/**
 * A subscriber that stops reading must cost nobody else anything. Aedes waits for a slow socket to drain, and with it
 * the publishers and, at its concurrency limit, everybody (58.7 s measured). Here a write never asks anybody to wait;
 * who leaves more than `bytes` untaken is cut.
 */
export function capOutbound(stream: ByteStream, bytes: number, cut: () => void): void {
  const write = stream.write.bind(stream);
  stream.write = (...parameters: [Uint8Array, ...unknown[]]): boolean => {
    write(...parameters);
    if (stream.writableLength > bytes) {
      cut();
      stream.destroy();
    }
    return true;
  };
}

/** What is buffered of a packet that is not complete. */
export interface Buffering {
  readonly length: number;
}

/**
 * A packet may announce 256 MB and Aedes would buffer them (moscajs/aedes #831). Who has more than `bytes` of one
 * packet underway is cut. To be called after Aedes listens, whose reader runs first.
 */
export function capInbound(stream: ByteStream, buffered: () => Buffering | undefined, bytes: number, cut: () => void): void {
  stream.on('readable', () => {
    if ((buffered()?.length ?? 0) <= bytes) return;
    cut();
    stream.destroy();
  });
}
