/**
 * Every expected failure, once: its code, the exit code a verb ends with, what it means and what to do.
 * `docs/faults.md` lists exactly these (a test says so). A Fault is a value: it is returned or sent, never thrown
 * across a wall.
 */
interface FaultEntry {
  /** docs/cli.md: 1 error, 2 wrong usage or bad file, 3 no such thing, 4 not now, 5 never, 6 no leader, 7 not allowed. */
  readonly exit: 1 | 2 | 3 | 4 | 5 | 6 | 7;
  readonly means: string;
  readonly hint: string;
}

export const FAULTS = {
  // What is on the wire
  BAD_ENCODING: {
    exit: 1,
    means: 'The payload is neither CBOR nor JSON.',
    hint: 'Send one CBOR map or one JSON object.',
  },
  BAD_SHAPE: {
    exit: 1,
    means: 'The message does not have the shape its type asks for.',
    hint: 'The message names the field; docs/messages.md has every shape.',
  },
  TOO_LARGE: {
    exit: 2,
    means: 'The message is over the limit.',
    hint: 'Cut it into parts, or send less; docs/limits.md has every bound.',
  },
  UNKNOWN_TYPE: {
    exit: 1,
    means: 'This version does not know messages of that type.',
    hint: 'Compare the versions of both sides with mesq doctor.',
  },
  VERSION: {
    exit: 1,
    means: 'The two sides share no version of the protocol.',
    hint: 'Update the older side; a version speaks with the one before it.',
  },
  // What people write
  BAD_RESOURCES: {
    exit: 2,
    means: 'The resources cannot be read.',
    hint: 'Write them like cpus:4;mem:2048;ports:[31000-32000].',
  },
  BAD_ATTRIBUTES: { exit: 2, means: 'The attributes cannot be read.', hint: 'Write them like arch:arm64;site:roof.' },
  BAD_CONSTRAINT: {
    exit: 2,
    means: 'The constraint cannot be read.',
    hint: 'Write it like board==jetson-orin-nano, arch~=arm.*, site!=roof or unique:hostname.',
  },
  BAD_ID: {
    exit: 2,
    means: 'The name is not usable as an id.',
    hint: 'Use 1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit.',
  },
  BAD_DURATION: { exit: 2, means: 'The duration cannot be read.', hint: 'Write it like 250ms, 5s, 10m or 2h.' },
  BAD_SIZE: {
    exit: 2,
    means: 'The size cannot be read.',
    hint: 'Write MB as a plain number, or use K, M or G: 512, 512M, 2G.',
  },
  BAD_JOB: { exit: 2, means: 'The job cannot be read.', hint: 'docs/jobs.md has every field with an example.' },
  BAD_USAGE: { exit: 2, means: 'The command line is wrong.', hint: 'Add --help to see what it takes.' },
  // What is asked of the cluster
  NOT_FOUND: {
    exit: 3,
    means: 'There is no such thing.',
    hint: 'List what there is with mesq jobs, mesq ps or mesq agents.',
  },
  CONFLICT: { exit: 1, means: 'The value changed in between.', hint: 'Read it again, then repeat the change.' },
  EXISTS: { exit: 1, means: 'There is one of that name already.', hint: 'Take another name.' },
  NOT_ALLOWED: {
    exit: 7,
    means: 'This token does not allow it.',
    hint: 'Ask an operator for a token of the right role: mesq token create.',
  },
  NO_LEADER: {
    exit: 6,
    means: 'No master leads at the moment.',
    hint: 'Start the masters that cannot be reached; while one is being elected, repeat in a moment.',
  },
  UNREACHABLE: {
    exit: 6,
    means: 'The cluster does not answer.',
    hint: 'Start a cluster with mesq up, or name one with --url; mesq doctor checks the way there.',
  },
  TIMED_OUT: {
    exit: 6,
    means: 'The answer did not come in time.',
    hint: 'The outcome is unknown; repeating the same request is safe.',
  },
  BAD_CREDENTIALS: {
    exit: 7,
    means: 'The broker does not accept this name and token.',
    hint: 'Check --token or MESQ_TOKEN; list tokens with mesq token list.',
  },
  INSECURE: {
    exit: 7,
    means: 'A token would travel over a plain connection beyond this machine.',
    hint: 'Use mqtts:// (start the master with --listen mqtts://… --tls-cert --tls-key).',
  },
  NOT_NOW: { exit: 4, means: 'It cannot be placed now.', hint: 'See mesq why JOB for what each agent is missing.' },
  NEVER_FITS: {
    exit: 5,
    means: 'No agent could ever hold it.',
    hint: 'Ask for less, or add an agent that has it; mesq agents shows what there is.',
  },
  BUDGET_SPENT: {
    exit: 4,
    means: 'The agent has sent as much of logs and files as it may in a day.',
    hint: 'Wait for as long as the message says, or let an operator add --over-budget.',
  },
  LIMIT: { exit: 1, means: 'A limit of the cluster is reached.', hint: 'docs/limits.md has every bound.' },
  // Agents
  NAME_TAKEN: {
    exit: 1,
    means: 'Another live agent has this name.',
    hint: 'Start this one with another --name, or mesq gone the other one first.',
  },
  CLONED: {
    exit: 1,
    means: 'This data folder belongs to an agent on other hardware.',
    hint: 'Give this machine a data folder of its own: remove the copied one, or pass another --data.',
  },
  OTHER_CLUSTER: {
    exit: 1,
    means: 'This agent belongs to another cluster.',
    hint: 'To move it, stop it and remove cluster.json in its data folder.',
  },
  OLD_GENERATION: {
    exit: 1,
    means: 'The master was restored, and its generation is not newer than what the agent follows.',
    hint: 'Restore again with a higher --generation.',
  },
  GONE: {
    exit: 5,
    means: 'An operator declared this agent gone for ever.',
    hint: 'Start it with a new --data folder to join as a new agent.',
  },
  STALE: {
    exit: 1,
    means: 'The command is of an older leader, registration or attempt.',
    hint: 'Nothing to do: the newer one has been heard.',
  },
  NOT_REGISTERED: {
    exit: 1,
    means: 'The sender is not registered here.',
    hint: 'Register (agents) or subscribe (frameworks) first.',
  },
  // Offers and tasks
  OFFER_GONE: { exit: 4, means: 'The offer was used, rescinded or timed out.', hint: 'Wait for the next offer.' },
  OVER_OFFER: { exit: 4, means: 'The tasks need more than the offer holds.', hint: 'Launch fewer tasks on it.' },
  // The world
  DISK: { exit: 1, means: 'The disk refused a write.', hint: 'Free some space, or check the medium (dmesg).' },
  CORRUPT: {
    exit: 1,
    means: 'A file of the data folder is damaged in the middle.',
    hint: 'Restore it from a backup; nothing was changed.',
  },
  IN_USE: {
    exit: 1,
    means: 'Another process holds the port or the data folder.',
    hint: 'The message names it: stop it, or choose another.',
  },
  UNSUPPORTED: { exit: 1, means: 'This machine cannot do that.', hint: 'mesq doctor says what is missing.' },
} as const satisfies Record<string, FaultEntry>;

export type FaultCode = keyof typeof FAULTS;

/** An expected failure, as a value. On the wire it is `{code, message, hint}`. */
export class Fault {
  readonly code: FaultCode;
  /** What was wrong, and where. */
  readonly message: string;
  /** The next thing to try. */
  readonly hint: string;

  constructor(code: FaultCode, message?: string, hint?: string) {
    this.code = code;
    this.message = message ?? FAULTS[code].means;
    this.hint = hint ?? FAULTS[code].hint;
  }
}

/** Our own bug: the process stops, and recovers from disk. Never for input from the wire or from people. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${message}`);
}
