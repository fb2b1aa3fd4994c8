/** Raw DEFLATE (RFC 1951). */
export interface Compression {
  /** `level` 1 (quick) to 9 (small). */
  deflate(bytes: Uint8Array, level: number): Promise<Uint8Array>;
  /** Undefined where it is none, or would be longer than `most` bytes. In one go: for pieces of some 32 kB. */
  inflate(bytes: Uint8Array, most: number): Uint8Array | undefined;
}
