import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Log } from '../io/log.ts';
import { check, decode } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';

const CONTACT_FILE = 'contact.json';

/** What a running service says of itself, in its folder below `/run`: memory, so that no link that flaps wears a disk. */
const ContactNote = v.object({
  pid: v.number(),
  name: v.string(),
  version: v.string(),
  /** It has a session with the leader. */
  contact: v.boolean(),
});
export type ContactNote = v.InferOutput<typeof ContactNote>;

/** Keeps the note up to date where a service manager gave this process a folder (systemd: `RuntimeDirectory=`). */
export function contactNotes(of: {
  readonly name: string;
  readonly version: string;
  readonly log: Log;
}): (contact: boolean) => void {
  const folder = process.env['RUNTIME_DIRECTORY'];
  if (folder === undefined || folder === '') return () => undefined;
  const path = join(folder, CONTACT_FILE);
  let writing: Promise<void> = Promise.resolve();
  return (contact) => {
    const text = `${JSON.stringify({ pid: process.pid, name: of.name, version: of.version, contact })}\n`;
    writing = writing
      .then(async () => {
        await writeFile(`${path}.new`, text, { mode: 0o600 });
        await rename(`${path}.new`, path);
      })
      .catch((error: unknown) => of.log.warn('contact not noted', { path, error: String(error) }));
  };
}

/** Undefined where no service has been in contact since it started. */
export async function readContactNote(folder: string): Promise<ContactNote | undefined> {
  const bytes = await readFile(join(folder, CONTACT_FILE)).catch(() => undefined);
  const decoded = bytes === undefined ? undefined : decode(bytes);
  const note = decoded === undefined || decoded instanceof Fault ? undefined : check(ContactNote, decoded.value);
  return note instanceof Fault ? undefined : note;
}
