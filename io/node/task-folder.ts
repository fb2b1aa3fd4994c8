import { closeSync, fchown, mkdir as mkdirWithCallback, open as openWithCallback } from 'node:fs';
import { chown } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { SystemUser } from './users.ts';

/** On the path of every start: what may wait for the disk's journal goes to the thread pool, and nothing else does. */
const makeFolder = promisify(mkdirWithCallback);
const openFile = promisify(openWithCallback);
const changeOwner = promisify(fchown);

/** A task folder that others pass through to the sandbox, and cannot look into. */
export const PASSABLE = 0o711;
const PRIVATE = 0o700;

/**
 * Makes a task's folder (absolute), with its sandbox `work` and, for another user, its outputs; nothing where they are there.
 */
export async function makeTaskFolder(folder: string, user: SystemUser | undefined): Promise<void> {
  await makeClosedSandbox(folder, user);
  if (user === undefined) return;
  await chown(join(folder, 'work'), user.uid, user.gid);
  // Made for the task to own: a program that opens /dev/stdout opens the file anew.
  for (const stream of ['stdout', 'stderr']) {
    const descriptor = await openFile(join(folder, stream), 'a', 0o600);
    try {
      await changeOwner(descriptor, user.uid, user.gid);
    } finally {
      closeSync(descriptor);
    }
  }
}

/**
 * The same without outputs, and a new sandbox is the agent's: its user may pass through the task's folder, and is kept out of `work`.
 * Most often all but the last two levels are there: each level is a trip to the thread pool, and Node's `recursive` begins at the wrong end.
 */
export async function makeClosedSandbox(folder: string, user: SystemUser | undefined): Promise<void> {
  await makeFoldersAbove(folder);
  await makeLevel(folder, user === undefined ? PRIVATE : PASSABLE);
  await makeLevel(join(folder, 'work'), PRIVATE);
}

/** What is above a task's folder, other tasks pass through: whoever makes it first, and for whom. */
export async function makeFoldersAbove(folder: string): Promise<void> {
  await makeLevel(dirname(folder), PASSABLE);
}

async function makeLevel(level: string, mode: number): Promise<void> {
  try {
    await makeFolder(level, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') await makeFolder(level, { recursive: true, mode });
    else if (code !== 'EEXIST') throw error;
  }
}
