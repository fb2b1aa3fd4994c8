/** One-way functions of the platform. */
export interface Digest {
  /** SHA-256 of `bytes`, as 64 lower-case hexadecimal digits. */
  sha256(bytes: Uint8Array): string;
}

/** SHA-256 of what comes piece by piece. */
export interface RunningDigest {
  update(bytes: Uint8Array): void;
  /** Of all so far, as 64 lower-case hexadecimal digits. Ends it. */
  end(): string;
}
