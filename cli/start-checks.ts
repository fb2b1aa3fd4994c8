import { execFile } from 'node:child_process';
import { access, constants, readFile, statfs } from 'node:fs/promises';
import { freemem, platform, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { makeFolders } from '../io/node/make-folders.ts';
import type { CheckResult } from './doctor.ts';
import { findEngine } from './start-containers.ts';

const LEAST_NODE = [20, 19] as const;
const LEAST_FREE_BYTES = 512 * 1_048_576;
const LEAST_MEMORY_BYTES = 256 * 1_048_576;
/** What a task starts with (docs/decisions/0003-tasks-start-from-bash.md). */
const PROGRAMS = ['flock', 'mkfifo', 'sh'] as const;
const LEAST_BASH = 5;

/** Checks whether this machine can run an agent that keeps its data in `data`. */
export async function checkMachine(data: string): Promise<CheckResult[]> {
  const found = await Promise.all([
    checkNode(),
    checkSystem(),
    checkBash(),
    ...PROGRAMS.map(checkProgram),
    checkFolder(data),
    checkMemory(),
    checkEngine(),
  ]);
  return found.flat();
}

/** A machine without one is no worse for tasks without an image; default: looked for where agents look. */
export async function checkEngine(sockets?: readonly string[]): Promise<CheckResult> {
  const name = 'engine';
  const found = await findEngine(sockets);
  if (found !== undefined) return { name, state: 'ok', text: `${found.engine} ${found.version} at ${found.socket}` };
  const hint =
    'For tasks in containers start one, as by systemctl enable --now podman.socket; agents find it by themselves.';
  return { name, state: 'ok', text: 'no container engine answers', hint };
}

function checkNode(): CheckResult {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const enough = major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1]);
  return {
    name: 'node',
    state: enough ? 'ok' : 'fail',
    text: process.versions.node,
    ...(enough ? {} : { hint: `Install Node ${LEAST_NODE.join('.')} or newer.` }),
  };
}

function checkSystem(): CheckResult {
  const linux = platform() === 'linux';
  const hint = linux ? {} : { hint: 'Agents run on Linux; the other verbs run anywhere.' };
  return { name: 'system', state: linux ? 'ok' : 'warn', text: platform(), ...hint };
}

function checkProgram(program: string): Promise<CheckResult> {
  return new Promise((resolve) => {
    execFile('/bin/sh', ['-c', 'command -v "$0"', program], { timeout: 5_000 }, (error, path) => {
      if (error === null) resolve({ name: program, state: 'ok', text: path.trim() });
      else
        resolve({
          name: program,
          state: 'fail',
          text: 'not found',
          hint: `Install ${program}: an agent starts tasks with it.`,
        });
    });
  });
}

/** Its launcher reads clocks that bash has had since version 5. */
export function checkBash(): Promise<CheckResult> {
  return new Promise((resolve) => {
    const name = 'bash';
    execFile('bash', ['-c', 'echo "$BASH_VERSION"'], { timeout: 5_000 }, (error, version) => {
      const text = error === null ? version.trim() : 'not found';
      if (Number.parseInt(text, 10) >= LEAST_BASH) return resolve({ name, state: 'ok', text });
      const hint =
        error === null
          ? `Agents need bash ${LEAST_BASH}. Where the system has none, as JetPack 4, run the agent as a container: npm run image on another machine, then the docker run of docs/install.md, As a container.`
          : 'Install bash: an agent starts tasks with it.';
      resolve({ name, state: 'fail', text, hint });
    });
  });
}

async function checkFolder(data: string): Promise<CheckResult[]> {
  try {
    await makeFolders(data);
    await access(data, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return [
      { name: 'data', state: 'fail', text, hint: `Make ${dirname(data)} writable for this user, or pass --data DIR.` },
    ];
  }
  const { bavail, bsize } = await statfs(data);
  const free = bavail * bsize;
  const enough = free >= LEAST_FREE_BYTES;
  return [
    { name: 'data', state: 'ok', text: `${data} is writable` },
    {
      name: 'disk',
      state: enough ? 'ok' : 'warn',
      text: `${Math.floor(free / 1_048_576)} MB free`,
      ...(enough ? {} : { hint: 'Free some space, or take a folder on another disk.' }),
    },
  ];
}

/** The least of the machine's memory and its control group's limit. */
async function checkMemory(): Promise<CheckResult> {
  const limits = await Promise.all(
    ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'].map((path) =>
      readFile(path, 'utf8').then(Number, () => Number.NaN),
    ),
  );
  const total = totalmem();
  const limit = Math.min(total, ...limits.filter((bytes) => Number.isFinite(bytes) && bytes > 0));
  const text = `${Math.floor(limit / 1_048_576)} MB${limit < total ? " (the control group's limit)" : ''}, ${Math.floor(freemem() / 1_048_576)} MB free`;
  if (limit >= LEAST_MEMORY_BYTES) return { name: 'memory', state: 'ok', text };
  return { name: 'memory', state: 'warn', text, hint: 'An agent takes about 60 MB; little is left for tasks.' };
}
