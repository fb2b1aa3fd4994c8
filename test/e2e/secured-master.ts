import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';

/** Starts the cluster's master again, listening on TLS too, at `address`, with a certificate of its own making. */
export async function securedMaster(
  cluster: Cluster,
  address = '127.0.0.1',
): Promise<{ secure: string; certificate: string }> {
  await cluster.master?.end('SIGTERM');
  const [certificate, key] = [join(cluster.folder, 'm1.pem'), join(cluster.folder, 'm1.key')];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', `subjectAltName=IP:${address}`, '-keyout', key, '-out', certificate],
    ],
    { stdio: 'ignore' },
  );
  await cluster.startMaster(['--listen', `mqtts://${address}:0`, '--tls-cert', certificate, '--tls-key', key]);
  const [, secure = ''] = await (cluster.master as NonNullable<typeof cluster.master>).said(/listening (mqtts:\S+)/);
  return { secure, certificate };
}
