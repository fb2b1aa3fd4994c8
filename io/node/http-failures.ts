import { ArtifactError } from '../artifact-source.ts';

/** What may be otherwise in a while, although the server has answered. */
const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 425, 429]);

/** What an answer that brings no content means. Its body is not read: it is for browsers. */
export function statusError(status: number, words: string | undefined): ArtifactError {
  const said = words === undefined || words === '' ? `${status}` : `${status} ${words.slice(0, 60)}`;
  if (status >= 500 || TRANSIENT_STATUS.has(status)) return new ArtifactError(`the server answers ${said}`, true);
  const hint =
    status === 404 || status === 410
      ? ': check the address'
      : status === 401 || status === 403
        ? ': it wants other credentials, or none may read this'
        : '';
  return new ArtifactError(`the server answers ${said}${hint}`, false);
}

/** A certificate that no second try makes better. One that is not valid yet may be: the board's clock may stand in 1970. */
function isCertificate(code: string): boolean {
  if (code === 'CERT_NOT_YET_VALID') return false;
  return /^(CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA)/.test(code);
}

/** In words for people; `where` says how far it came. Errors of the link are transient. */
export function asArtifactError(error: unknown, where?: string): ArtifactError {
  if (error instanceof ArtifactError) return error;
  const { code = '', name = '', message = String(error) } = error as NodeJS.ErrnoException;
  const at = where === undefined ? '' : ` ${where}`;
  if (name === 'AbortError' || code === 'ABORT_ERR') return new ArtifactError('it was withdrawn', true);
  if (isCertificate(code))
    return new ArtifactError(
      `its certificate is not accepted (${code}): install its authority, or mend the server`,
      false,
    );
  if (code === 'ECONNREFUSED') return new ArtifactError('nobody listens there', true);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new ArtifactError('its host name is not found', true);
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE')
    return new ArtifactError(`the connection broke off${at}`, true);
  if (name === 'TypeError' || name === 'URIError') return new ArtifactError('its address cannot be understood', false);
  return new ArtifactError(`${message.slice(0, 120)}${at}`, true);
}
