import { link, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../io/digest.ts';
import type { Random } from '../io/random.ts';
import { randomWord } from '../io/random.ts';
import { Fault } from '../protocol/faults.ts';

/** A key that can be guessed keeps nobody out. */
const LEAST_CHARACTERS = 16;
const MINTED_CHARACTERS = 48;
/** A name of 16 bytes, a key of 16 for the content and one of 16 for its check, as Node takes them. */
const TICKET_KEYS_BYTES = 48;

/** Reads the secret that the masters of a cluster share: a file that its owner alone may read. Faults: `BAD_USAGE`. */
export async function readClusterKey(path: string): Promise<string | Fault> {
  try {
    const handle = await open(path);
    try {
      const readable = readers(await handle.stat());
      if (readable !== undefined)
        return new Fault(
          'BAD_USAGE',
          `${path}: ${readable}, and whoever knows a cluster's key is one of its masters`,
          `chmod 600 ${path}`,
        );
      const key = (await handle.readFile('utf8')).trim();
      if (key.length >= LEAST_CHARACTERS) return key;
      return new Fault('BAD_USAGE', `${path}: a cluster's key has at least ${LEAST_CHARACTERS} characters`);
    } finally {
      await handle.close();
    }
  } catch (error) {
    return new Fault('BAD_USAGE', `--cluster-key: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * Who may read or change the file but its owner; undefined where nobody may. As PostgreSQL has it for its keys, root's
 * file may be read by the group of a service that does not run as root.
 */
function readers({ mode, uid }: { readonly mode: number; readonly uid: number }): string | undefined {
  const ofService = uid === 0 && process.getuid?.() !== 0;
  const excess = mode & 0o777 & ~(ofService ? 0o740 : 0o700);
  if (excess === 0) return undefined;
  const who = (excess & 0o007) === 0 ? 'its group' : 'anybody here';
  return `${who} has access to it (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`;
}

/** The key of clusters of this user on this machine: minted by the first that asks, mode 0600. */
export async function ownClusterKey(environment: NodeJS.ProcessEnv, random: Random): Promise<string | Fault> {
  const home = environment['HOME'];
  const state = environment['XDG_STATE_HOME'] || (home ? `${home}/.local/state` : undefined);
  const hint =
    'Write a long random line to a file (mode 0600), the same for every master, and pass it with --cluster-key.';
  if (state === undefined) return new Fault('BAD_USAGE', 'there is no home folder for a cluster key', hint);
  const path = join(state, 'mesq', 'cluster-key');
  const mine = `${path}.${process.pid}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(mine, `${randomWord(random, MINTED_CHARACTERS)}\n`, { mode: 0o600 });
    // Whoever is first wins, and nobody ever sees half a key.
    await link(mine, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    return await readClusterKey(path);
  } catch (error) {
    return new Fault('DISK', `${path}: ${error instanceof Error ? error.message : String(error)}`, hint);
  } finally {
    await rm(mine, { force: true }).catch(() => undefined);
  }
}

/** What master `from` shows to the broker of master `to`: it proves the key, and serves nowhere else. */
export function peerPassword(digest: Digest, key: string, from: string, to: string): string {
  const hash = (text: string): string => digest.sha256(new TextEncoder().encode(text));
  return hash(`${key}:${hash(`${key}:${from}>${to}`)}`);
}

/**
 * What the masters encrypt TLS session tickets with: one that an agent had from a master shortens its handshake with the
 * next leader.
 */
export function ticketKeys(digest: Digest, key: string): Uint8Array {
  const text = [1, 2].map((part) => digest.sha256(new TextEncoder().encode(`${key}:tickets ${part}`))).join('');
  return Uint8Array.from({ length: TICKET_KEYS_BYTES }, (_, at) => Number.parseInt(text.slice(2 * at, 2 * at + 2), 16));
}
