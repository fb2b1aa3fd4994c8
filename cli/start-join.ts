import * as v from 'valibot';
import { systemDigest } from '../io/node/digest.ts';
import { systemRandom } from '../io/node/random.ts';
import { fileStorage } from '../io/node/storage.ts';
import { randomWord } from '../io/random.ts';
import type { Identity } from '../protocol/agent-link.ts';
import { check, decode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { Id } from '../protocol/ids.ts';
import { isJoinToken } from '../protocol/operator.ts';
import { nameOf, secretOf } from './common-options.ts';
import type { Terminal } from './terminal.ts';

/** In the agent's data folder, mode 0600: what it speaks with since it joined. */
export const CREDENTIAL_FILE = 'credential.json';
/** A join token that was left there for the first start, in the data folder, mode 0600: gone once it was used. */
export const JOIN_TOKEN_FILE = 'join-token';
const FORMAT = 1;

/** `name` is null from when the secret was made until the cluster has taken it. */
const CredentialFile = v.object({
  format: v.literal(FORMAT, 'this version knows format 1'),
  name: v.nullable(Id),
  secret: v.pipe(v.string(), v.regex(/^[a-z2-7]{32}$/, 'a secret is 32 of a-z 2-7')),
});

/** As whom an agent speaks; `token` is `name:secret`. */
export interface Speaker {
  readonly name: string;
  readonly token: string | undefined;
}

export interface Joining {
  readonly data: string;
  /** As given: an agent's own, a join token, or none. */
  readonly token: string | undefined;
  /** Its name, or the wish for one where it is yet to join. */
  readonly name: string;
  /** A person asked for that name, and no other will do. */
  readonly exact: boolean;
  readonly identity: Identity;
  readonly urls: readonly string[];
  readonly prefix: string;
  /** File in PEM. */
  readonly ca: string | undefined;
  readonly timeoutMs: number;
  readonly connect: Terminal['connect'];
}

/**
 * As whom this agent speaks: with the token it was given, or with the credential that it got when it joined. A join token
 * is used once: a board whose credential was revoked does not get another one by itself.
 */
export async function speakerOf(joining: Joining): Promise<Speaker | Fault> {
  const { data, token, name, exact } = joining;
  if (token !== undefined && !isJoinToken(token)) return { name, token };
  const kept = await readCredential(data);
  if (kept instanceof Fault) return kept;
  if (kept !== undefined && kept.name !== null) {
    await fileStorage(data).remove(JOIN_TOKEN_FILE);
    if (!exact || kept.name === name) return { name: kept.name, token: `${kept.name}:${kept.secret}` };
    return new Fault(
      'BAD_USAGE',
      `the agent of ${data} joined as ${kept.name}, not as ${name}`,
      `Leave --name out, or remove ${CREDENTIAL_FILE} there and join again.`,
    );
  }
  const left = await fileStorage(data).read(JOIN_TOKEN_FILE);
  const pass = token ?? (left === undefined ? undefined : new TextDecoder().decode(left).trim());
  if (pass === undefined) return { name, token };
  const speaker = await join(joining, pass, kept?.secret);
  if (!(speaker instanceof Fault)) await fileStorage(data).remove(JOIN_TOKEN_FILE);
  return speaker;
}

/** Only the hash of the secret leaves this machine, and the secret is durable before that does. */
async function join(joining: Joining, token: string, before: string | undefined): Promise<Speaker | Fault> {
  const { data, name, exact, identity, urls, prefix, ca, timeoutMs, connect } = joining;
  if (identity.machine === '' && identity.serial === '')
    return new Fault(
      'UNSUPPORTED',
      'this machine shows neither a machine-id nor a serial number: there is nothing to bind a credential to',
      'Write one with systemd-machine-id-setup (in a container: mount /etc/machine-id), or start it with a token of its own: mesq token create --role agent.',
    );
  const secret = before ?? randomWord(systemRandom, 32);
  if (before === undefined) await writeCredential(data, null, secret);
  const connection = await connect({
    urls,
    prefix,
    name: nameOf(token) ?? '',
    password: secretOf(token),
    timeoutMs,
    ...(ca === undefined ? {} : { ca }),
  });
  if (connection instanceof Fault) return connection;
  try {
    const hash = systemDigest.sha256(new TextEncoder().encode(secret));
    const answer = await connection.client.request('join', { name, exact, identity, hash }, { timeoutMs });
    if (answer instanceof Fault) return answer;
    await writeCredential(data, answer.agent, secret);
    return { name: answer.agent, token: `${answer.agent}:${secret}` };
  } finally {
    await connection.close();
  }
}

/** Undefined where it never began to join. Fault: CORRUPT. */
async function readCredential(data: string): Promise<v.InferOutput<typeof CredentialFile> | undefined | Fault> {
  const bytes = await fileStorage(data).read(CREDENTIAL_FILE);
  if (bytes === undefined) return undefined;
  const decoded = decode(bytes);
  const credential = decoded instanceof Fault ? decoded : check(CredentialFile, decoded.value);
  if (!(credential instanceof Fault)) return credential;
  return new Fault(
    'CORRUPT',
    `${CREDENTIAL_FILE} in ${data}: ${credential.message}`,
    'Remove it, and start the agent with a join token again.',
  );
}

function writeCredential(data: string, name: string | null, secret: string): Promise<void> {
  const text = `${JSON.stringify({ format: FORMAT, name, secret })}\n`;
  return fileStorage(data).replace(CREDENTIAL_FILE, new TextEncoder().encode(text));
}
