/** Where the bytes of an artifact come from: a web server, or the masters. */
export interface ArtifactSource {
  /** True of the URIs that it can read. */
  takes(uri: string): boolean;
  /**
   * Begins to read at byte `from`. A source that cannot begin there, or whose content is no longer `version` (that of an
   * earlier reading; undefined the first time), begins at 0 and says so. Rejects with an error whose message is for people;
   * `transient` in it tells whether the same may succeed later.
   */
  read(uri: string, from: number, version: string | undefined, signal: AbortSignal): Promise<ArtifactReading>;
}

export interface ArtifactReading {
  /** Offset of the first byte that follows. */
  readonly from: number;
  /** Bytes of the whole, where the source says it. */
  readonly size: number | undefined;
  /** Tells this content from another under the same URI; undefined where the source does not tell. */
  readonly version: string | undefined;
  /** Ends early by throwing an {@link ArtifactError}; the reader pulls, so it sets the pace. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export class ArtifactError extends Error {
  readonly transient: boolean;

  constructor(message: string, transient: boolean) {
    super(message);
    this.transient = transient;
  }
}
