/** Raw DEFLATE (RFC 1951) and Brotli (RFC 7932). */
export interface Compression {
  /** `level` 1 (quick) to 9 (small). */
  deflate(bytes: Uint8Array, level: number): Promise<Uint8Array>;
  /** As small as it gets: lines of logs to two thirds of what DEFLATE makes of them, in some fifty times its time. */
  brotli(bytes: Uint8Array): Promise<Uint8Array>;
  /** Undefined where it is none, or would be longer than `most` bytes. In one go: for pieces of some 32 kB. */
  inflate(bytes: Uint8Array, most: number): Uint8Array | undefined;
  /** The same of Brotli. */
  unbrotli(bytes: Uint8Array, most: number): Uint8Array | undefined;
}

/** Raw DEFLATE of short messages with a dictionary that both sides have. */
export interface MessagePacking {
  pack(bytes: Uint8Array, dictionary: Uint8Array): Uint8Array;
  /** Undefined where it is none, or would be longer than `most` bytes. */
  unpack(bytes: Uint8Array, dictionary: Uint8Array, most: number): Uint8Array | undefined;
}
