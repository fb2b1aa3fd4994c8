import { type ChildProcess, spawn } from 'node:child_process';
import { get } from 'node:http';
import { get as getSecurely } from 'node:https';
import { connect } from 'node:net';
import { constants } from 'node:os';
import type { Probe, ProbeAnswer, Prober } from '../prober.ts';
import type { SystemUser } from './users.ts';

type Settle = (answer: ProbeAnswer) => void;

/** The environment that a command starts from: nothing of the agent's own but how programs are found. */
const MINIMAL = ['PATH', 'HOME', 'LANG', 'TZ', 'USER', 'SHELL'] as const;
const HERE = '127.0.0.1';

/**
 * Probes with Node's own clients and child processes: never waits in the event loop. At most `commands` programs run at
 * once; more wait, and their time runs from when they begin. They run as `user`, in its own group alone; default as this
 * process does.
 */
export function systemProber(commands: number, user?: SystemUser): Prober {
  const endings = new Set<() => void>();
  const waiting: (() => void)[] = [];
  let running = 0;
  let stopped = false;

  /** `begin` starts the probe and returns how to give it up. */
  const bounded = (timeoutMs: number, begin: (settle: Settle) => () => void): Promise<ProbeAnswer> =>
    new Promise((resolve) => {
      if (stopped) return resolve({ trouble: 'the agent stops' });
      let giveUp: () => void = () => undefined;
      const end = (answer: ProbeAnswer): void => {
        clearTimeout(timer);
        endings.delete(abort);
        resolve(answer);
      };
      const abandon = (trouble: string): void => {
        end({ trouble });
        giveUp();
      };
      const abort = (): void => abandon('the agent stops');
      const timer = setTimeout(() => abandon(`no answer within ${timeoutMs} ms`), timeoutMs);
      timer.unref();
      endings.add(abort);
      giveUp = begin(end);
    });

  const inTurn = async (timeoutMs: number, begin: (settle: Settle) => () => void): Promise<ProbeAnswer> => {
    if (running >= commands) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await bounded(timeoutMs, begin);
    } finally {
      // The place goes to the next in line, or is free.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };

  return {
    probe: (probe, timeoutMs) => {
      switch (probe.kind) {
        case 'command':
          return inTurn(timeoutMs, (settle) => command(probe, user, settle));
        case 'http':
          return bounded(timeoutMs, (settle) => http(probe, settle));
        case 'tcp':
          return bounded(timeoutMs, (settle) => tcp(probe, settle));
      }
    },
    stop: () => {
      stopped = true;
      for (const abort of [...endings]) abort();
    },
  };
}

function command(
  { argv, environment, folder }: Extract<Probe, { kind: 'command' }>,
  user: SystemUser | undefined,
  settle: Settle,
): () => void {
  const [program = '', ...rest] = argv;
  const minimal = Object.fromEntries(
    MINIMAL.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  let child: ChildProcess;
  try {
    // A group of its own, so that what it starts ends with it.
    child = spawn(program, rest, {
      cwd: folder,
      env: { ...minimal, ...(user === undefined ? {} : { HOME: folder, USER: user.name }), ...environment },
      stdio: 'ignore',
      detached: true,
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    });
  } catch (error) {
    settle({ trouble: String(error) });
    return () => undefined;
  }
  child.on('error', (error: NodeJS.ErrnoException) => {
    // As a shell says it: 127 no such program, 126 one that cannot be executed.
    if (error.code === 'ENOENT') settle({ exitCode: 127 });
    else if (error.code === 'EACCES') settle({ exitCode: 126 });
    else settle({ trouble: error.message });
  });
  const sweep = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Nothing is left of the group.
    }
  };
  child.on('exit', (code, signal) => {
    settle({ exitCode: code ?? 128 + (signal === null ? 0 : constants.signals[signal]) });
    sweep();
  });
  return sweep;
}

function http({ scheme, port, path }: Extract<Probe, { kind: 'http' }>, settle: Settle): () => void {
  const options = { host: HERE, port, path, agent: false as const, headers: { 'user-agent': 'mesquite-check' } };
  const request = scheme === 'https' ? getSecurely({ ...options, rejectUnauthorized: false }) : get(options);
  request.on('response', (response) => {
    settle({ statusCode: response.statusCode ?? 0 });
    // The body may be endless.
    request.destroy();
  });
  request.on('error', (error) => settle({ trouble: error.message }));
  return () => request.destroy();
}

function tcp({ port }: Extract<Probe, { kind: 'tcp' }>, settle: Settle): () => void {
  const socket = connect({ host: HERE, port });
  socket.on('connect', () => {
    settle({ connected: true });
    socket.destroy();
  });
  socket.on('error', (error) => settle({ connected: false, trouble: error.message }));
  return () => socket.destroy();
}
