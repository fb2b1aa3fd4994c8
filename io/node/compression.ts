import type { Compression } from '../compression.ts';

/** Windows of 64 kB: pieces are shorter, and a longer one costs memory. */
const WINDOW_BITS = 16;

/** Node's own zlib, loaded when a piece is first deflated. */
export const systemDeflate: Compression['deflate'] = async (bytes, level) => {
  const { deflateRaw } = await import('node:zlib');
  return new Promise((resolve, reject) => {
    deflateRaw(bytes, { level }, (error, deflated) => (error ? reject(error) : resolve(deflated)));
  });
};

/** The same for Brotli. */
export const systemBrotli: Compression['brotli'] = async (bytes) => {
  const { brotliCompress, constants } = await import('node:zlib');
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return new Promise((resolve, reject) => {
    brotliCompress(bytes, { params }, (error, packed) => (error ? reject(error) : resolve(packed)));
  });
};
