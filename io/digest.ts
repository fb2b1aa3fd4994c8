/** One-way functions of the platform. */
export interface Digest {
  /** SHA-256 of `bytes`, as 64 lower-case hexadecimal digits. */
  sha256(bytes: Uint8Array): string;
}
