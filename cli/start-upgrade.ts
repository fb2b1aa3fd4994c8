import { join } from 'node:path';
import { Fault } from '../protocol/faults.ts';
import { RUNTIME_FOLDER, SERVICE } from './service-unit.ts';
import { type ContactNote, readContactNote } from './start-contact-notes.ts';
import { diskFault, isBooted, systemctl } from './start-system.ts';
import { currentVersion, keepVersions, ownPackage, stageVersion, switchTo, type Version } from './start-versions.ts';
import { refuseSkew } from './version-skew.ts';

const LOOK_MS = 100;
/** What has worked gets at least so long to do so again. */
const BACK_MS = 60_000;

export interface UpgradeOptions {
  readonly root: string;
  /** Holds `build/cli/main.js`; default: where this program itself is. */
  readonly from: string | undefined;
  /** How long the new version has to get into contact with the cluster. */
  readonly waitMs: number;
  /** Also where the agent is not in contact now: nobody can tell then whether the new version works. */
  readonly blind: boolean;
  /** Resolves when a person wants it to end: it goes back. */
  readonly stopped: Promise<undefined>;
  readonly say: (text: string) => Promise<void>;
}

export interface Upgraded {
  readonly from: string;
  readonly to: string;
  readonly changed: boolean;
}

/**
 * Moves the service to another version: put beside the one that runs, tried, switched to, and back where it does not get
 * into contact with the cluster in time. Tasks do not notice: no process of theirs is the agent's.
 * Faults: NOT_FOUND, NOT_NOW, UNSUPPORTED, BAD_USAGE, NOT_ALLOWED, DISK.
 */
export async function upgradeService(options: UpgradeOptions): Promise<Upgraded | Fault> {
  try {
    return await upgrade(options);
  } catch (error) {
    return diskFault(error);
  }
}

async function upgrade(options: UpgradeOptions): Promise<Upgraded | Fault> {
  const { root, blind, say } = options;
  const before = await currentVersion(root);
  if (before === undefined)
    return new Fault('NOT_FOUND', 'no agent is installed here', 'mesq agent install makes one.');
  const version = await stageVersion(root, options.from ?? (await ownPackage()));
  if (version instanceof Fault) return version;
  const outcome = { from: before.version, to: version.version };
  if (version.name === before.name) return { ...outcome, changed: false };
  const skew = refuseSkew(before.version, version.version);
  if (skew !== undefined) return forgotten(root, before, skew);
  if (!isBooted(root)) {
    await switchTo(root, version.name);
    await keepVersions(root, [version.name, before.name]);
    return { ...outcome, changed: true };
  }
  const note = await readContactNote(folderOf(root));
  if (note?.contact !== true && !blind)
    return forgotten(
      root,
      before,
      new Fault(
        'NOT_NOW',
        'the agent is not in contact with its cluster: nobody could tell whether the new version works',
        'Try again when mesq agents shows it active, or pass --blind.',
      ),
    );
  await say(`${before.version} → ${version.version}: restarting ${SERVICE}`);
  await switchTo(root, version.name);
  const problem = await runsAs(options, version, note);
  if (problem === undefined) {
    await keepVersions(root, [version.name, before.name]);
    return { ...outcome, changed: true };
  }
  await say(`${problem}: going back to ${before.version}`);
  await switchTo(root, before.name);
  const after = await readContactNote(folderOf(root));
  const worse = await runsAs(
    { ...options, waitMs: Math.max(options.waitMs, BACK_MS), stopped: new Promise(() => undefined) },
    before,
    after,
  );
  return forgotten(
    root,
    before,
    new Fault(
      'UNSUPPORTED',
      `version ${version.version} failed, ${problem}; ${before.version} ${worse === undefined ? 'runs again' : `is back, but ${worse}`}`,
      `What it said: journalctl -u ${SERVICE} -n 100. Its tasks were not touched.`,
    ),
  );
}

/** Restarts the service, and waits until that version is in contact. Gives what went wrong. */
async function runsAs(
  { root, waitMs, blind, stopped }: UpgradeOptions,
  { version }: Version,
  before: ContactNote | undefined,
): Promise<string | undefined> {
  const restarted = await systemctl('restart', SERVICE);
  if (restarted !== undefined) return restarted.message;
  const wasInContact = before?.contact === true;
  let interrupted = false;
  void stopped.then(() => {
    interrupted = true;
  });
  for (const until = performance.now() + waitMs; performance.now() < until; ) {
    if (interrupted) return 'you asked to stop';
    const note = await readContactNote(folderOf(root));
    if (note?.contact === true && note.version === version && note.pid !== before?.pid) return undefined;
    await new Promise((again) => setTimeout(again, LOOK_MS));
  }
  const silent = `it did not get into contact with the cluster within ${waitMs / 1_000} s`;
  if (wasInContact || !blind) return silent;
  // There is no contact to be had: that it stays up is all that can be seen.
  return (await systemctl('is-active', '--quiet', SERVICE)) === undefined ? undefined : 'it does not stay up';
}

async function forgotten(root: string, kept: Version, fault: Fault): Promise<Fault> {
  await keepVersions(root, [kept.name]);
  return fault;
}

function folderOf(root: string): string {
  return join(root, 'run', RUNTIME_FOLDER);
}
