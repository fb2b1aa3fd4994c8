import type { MessagePacking } from '../../../io/compression.ts';
import { systemPacking } from '../../../io/node/message-packing.ts';

/** Packed messages that were read by whom they were for, and those that were for somebody of another registration. */
export interface PackedTally {
  toMasters: number;
  toAgents: number;
  unreadable: number;
}

/** Packing as it is, of one process; it counts what has really travelled. */
export class CountedPacking implements MessagePacking {
  readonly #tally: PackedTally;
  readonly #reads: 'toMasters' | 'toAgents';
  #lastPlain: Uint8Array = new Uint8Array();
  #lastDictionary: Uint8Array = new Uint8Array();

  constructor(tally: PackedTally, reads: 'toMasters' | 'toAgents') {
    this.#tally = tally;
    this.#reads = reads;
  }

  /** What was packed last, before it was. */
  get lastPlain(): Uint8Array {
    return this.#lastPlain;
  }

  readonly pack = (plain: Uint8Array, dictionary: Uint8Array): Uint8Array => {
    this.#lastPlain = plain;
    this.#lastDictionary = dictionary;
    return systemPacking.pack(plain, dictionary);
  };

  /** Another message for the same reader as the last one. */
  packLikeLast(plain: Uint8Array): Uint8Array {
    return systemPacking.pack(plain, this.#lastDictionary);
  }

  readonly unpack = (bytes: Uint8Array, dictionary: Uint8Array, most: number): Uint8Array | undefined => {
    const plain = systemPacking.unpack(bytes, dictionary, most);
    this.#tally[plain === undefined ? 'unreadable' : this.#reads]++;
    return plain;
  };
}
