import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { MessagePacking } from '../compression.ts';

/** A window of 4 kB holds the dictionary and most messages, and takes 20 kB of memory instead of 256. */
const SMALL = { windowBits: 12, memLevel: 5, level: 9 } as const;

/** Node's own zlib, at once: a tenth of a millisecond to one, for messages that are seldom. */
export const systemPacking: MessagePacking = {
  pack: (bytes, dictionary) => deflateRawSync(bytes, { ...SMALL, dictionary }),
  unpack: (bytes, dictionary, most) => {
    try {
      return inflateRawSync(bytes, { dictionary, maxOutputLength: most });
    } catch {
      return undefined;
    }
  },
};
