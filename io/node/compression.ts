import type { Compression } from '../compression.ts';

/** Node's own zlib, loaded when a piece is first deflated. */
export const systemDeflate: Compression['deflate'] = async (bytes, level) => {
  const { deflateRaw } = await import('node:zlib');
  return new Promise((resolve, reject) => {
    deflateRaw(bytes, { level }, (error, deflated) => (error ? reject(error) : resolve(deflated)));
  });
};
