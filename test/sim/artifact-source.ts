import { ArtifactError, type ArtifactReading, type ArtifactSource } from '../../io/artifact-source.ts';

/** How a {@link ScriptedSource} answers for one URI. */
export interface ScriptedContent {
  bytes: Uint8Array;
  version: string | undefined;
  /** Thrown instead of an answer, while it is there. */
  failure?: ArtifactError | undefined;
  /** Readings break off after so many bytes; once each. */
  readonly breaks: number[];
  /** Nothing comes until it is called off. */
  silent?: boolean;
}

const PIECE = 10_000;

/** Artifacts that come as a test says; no time passes by itself. */
export class ScriptedSource implements ArtifactSource {
  readonly contents = new Map<string, ScriptedContent>();
  readonly readings: { readonly uri: string; readonly from: number }[] = [];
  bytesRead = 0;
  /** Readings that are open. */
  open = 0;

  put(uri: string, bytes: Uint8Array, rest: Partial<ScriptedContent> = {}): string {
    this.contents.set(uri, { bytes, version: `v${bytes.length}`, breaks: [], ...rest });
    return uri;
  }

  takes(uri: string): boolean {
    return uri.startsWith('http://');
  }

  read(uri: string, from: number, version: string | undefined, signal: AbortSignal): Promise<ArtifactReading> {
    this.readings.push({ uri, from });
    const content = this.contents.get(uri);
    if (signal.aborted) return Promise.reject(new ArtifactError('it was withdrawn', true));
    if (content === undefined) return Promise.reject(new ArtifactError('there is no such file', false));
    if (content.failure !== undefined) return Promise.reject(content.failure);
    const begin = version !== undefined && version === content.version && from <= content.bytes.length ? from : 0;
    const bytes = this.#bytes(content, begin, signal);
    return Promise.resolve({ from: begin, size: content.bytes.length, version: content.version, bytes });
  }

  async *#bytes(content: ScriptedContent, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    this.open++;
    try {
      const end = Math.min(content.bytes.length, from + (content.breaks.shift() ?? Infinity));
      for (let at = from; at < end; at += PIECE) {
        if (content.silent === true)
          await new Promise<void>((_, reject) =>
            signal.addEventListener('abort', () => reject(new ArtifactError('it was withdrawn', true))),
          );
        const piece = content.bytes.subarray(at, Math.min(end, at + PIECE));
        this.bytesRead += piece.length;
        yield piece;
      }
      if (end < content.bytes.length) throw new ArtifactError('the connection broke off', true);
    } finally {
      this.open--;
    }
  }
}
