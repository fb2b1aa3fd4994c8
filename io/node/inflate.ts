import { brotliDecompressSync, inflateRawSync } from 'node:zlib';
import type { Compression } from '../compression.ts';

/** Node's own zlib. */
export const systemInflate: Compression['inflate'] = (bytes, most) => {
  try {
    return inflateRawSync(bytes, { maxOutputLength: most });
  } catch {
    return undefined;
  }
};

/** The same for Brotli. */
export const systemUnbrotli: Compression['unbrotli'] = (bytes, most) => {
  try {
    return brotliDecompressSync(bytes, { maxOutputLength: most });
  } catch {
    return undefined;
  }
};
