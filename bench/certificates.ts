import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** An authority of its own, in files below a folder, made with openssl. All keys are on P-256. */
export class Authority {
  readonly file: string;
  readonly pem: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.file = join(folder, 'ca.pem');
    openssl(['req', '-x509', ...this.#newKey('ca'), '-subj', '/CN=bench', '-days', '2', '-out', this.file]);
    this.pem = readFileSync(this.file, 'utf8');
    openssl(['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', this.#path('agents.key')]);
  }

  /** Of the masters, for the name `localhost` and these addresses: the files of the certificate and its key. */
  server(addresses: readonly string[] = []): { readonly certificate: string; readonly key: string } {
    const certificate = this.#path('server.pem');
    const names = [
      '-subj',
      '/CN=masters',
      '-addext',
      `subjectAltName=${['DNS:localhost', ...addresses.map((one) => `IP:${one}`)].join(',')}`,
    ];
    openssl(['req', '-x509', ...this.#newKey('server'), ...this.#signed(), ...names, '-out', certificate]);
    return { certificate, key: this.#path('server.key') };
  }

  /** Of an agent, in PEM. All share one key: what a handshake costs does not depend on it. */
  client(name: string): { readonly certificate: string; readonly key: string } {
    const key = this.#path('agents.key');
    const made = openssl(['req', '-x509', '-key', key, ...this.#signed(), '-subj', `/CN=${name}`]);
    return { certificate: made, key: readFileSync(key, 'utf8') };
  }

  #newKey(name: string): string[] {
    const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    return [...options, '-keyout', this.#path(`${name}.key`)];
  }

  #signed(): string[] {
    return ['-CA', this.file, '-CAkey', this.#path('ca.key'), '-days', '2'];
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function openssl(argv: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', argv, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${argv.join(' ')}: ${stderr}`);
  return stdout;
}
