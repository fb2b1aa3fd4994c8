// In place of `cbor-extract` in the bundle: cbor-x decodes strings by itself then.
module.exports = undefined;
