import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ELLIPTIC = ['-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];

/**
 * An authority, and for each name a certificate of its own for `localhost` that it vouches for: `ca.pem`, and
 * `<name>.pem` with `<name>.key`, in `folder`. False without openssl.
 */
export function vouchedFor(folder: string, names: readonly string[]): boolean {
  const openssl = (...argv: string[]): boolean => spawnSync('openssl', argv, { cwd: folder }).status === 0;
  const authority = ['-x509', '-days', '2', '-subj', '/CN=test', '-keyout', 'ca.key', '-out', 'ca.pem'];
  if (!openssl('req', ...ELLIPTIC, ...authority)) return false;
  return names.every((name) => {
    const wanted = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost'];
    if (!openssl('req', ...ELLIPTIC, ...wanted, '-keyout', `${name}.key`, '-out', `${name}.csr`)) return false;
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy', '-days', '2'];
    return openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.pem`);
  });
}

/** A certificate for `localhost`, its own authority; undefined without openssl. */
export function selfSigned(): { key: string; cert: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'mesq-tls-'));
  try {
    const options = ['-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const files = ['-keyout', 'key.pem', '-out', 'cert.pem'];
    const { status } = spawnSync('openssl', ['req', '-x509', ...ELLIPTIC, ...options, ...files], { cwd: folder });
    if (status !== 0) return undefined;
    return { key: readFileSync(join(folder, 'key.pem'), 'utf8'), cert: readFileSync(join(folder, 'cert.pem'), 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
