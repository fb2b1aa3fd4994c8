import { EngineError, type TakeOutput } from '../containers.ts';

/** One byte of stream, three of nothing, four of length (Docker Engine API, "Stream format" of attach). */
const HEADER = 8;
const STREAMS: ReadonlyMap<number, 'stdout' | 'stderr'> = new Map([
  [1, 'stdout'],
  [2, 'stderr'],
]);

/** Takes apart what an engine sends of both output streams together. Frames are passed on as they come, in parts too. */
export class LogFrames {
  readonly #take: TakeOutput;
  #header = Buffer.alloc(0);
  #stream: 'stdout' | 'stderr' = 'stdout';
  /** Of the frame that is being read. */
  #left = 0;

  constructor(take: TakeOutput) {
    this.#take = take;
  }

  async add(piece: Buffer): Promise<void> {
    let rest = piece;
    while (rest.length > 0) {
      if (this.#left === 0) {
        const wanted = HEADER - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (this.#header.length === HEADER) this.#begin();
        continue;
      }
      const bytes = rest.subarray(0, this.#left);
      rest = rest.subarray(bytes.length);
      this.#left -= bytes.length;
      await this.#take(this.#stream, bytes);
    }
  }

  #begin(): void {
    const stream = STREAMS.get(this.#header[0] ?? 0);
    if (stream === undefined || this.#header.readUIntBE(1, 3) !== 0)
      throw new EngineError('REFUSED', 'the output of a container that has a terminal cannot be told apart');
    this.#stream = stream;
    this.#left = this.#header.readUInt32BE(4);
    this.#header = Buffer.alloc(0);
  }
}
