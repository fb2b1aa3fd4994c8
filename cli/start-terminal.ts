import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { BusError } from '../io/bus.ts';
import { NO_LEADER_YET } from '../io/node/broker-session.ts';
import { systemClock } from '../io/node/clock.ts';
import { connectMqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { wayHint } from '../io/node/way-hint.ts';
import { randomWord } from '../io/random.ts';
import { Fault, type FaultCode } from '../protocol/faults.ts';
import { createClient } from '../sdk/client.ts';
import { fileWords } from './start-file-words.ts';
import { standardInput } from './start-input.ts';
import { newFile } from './start-new-file.ts';
import type { Connection, ConnectOptions, Input, Sink, Terminal } from './terminal.ts';

/** Characters of a file that a verb reads: a job file has its arguments and environment, and no more. */
const MOST_TEXT = 8 * 1_048_576;

/** The terminal of a real process. */
export function startTerminal(version: string): Terminal {
  let input: Input | undefined;
  return {
    version,
    environment: process.env,
    user: userName(),
    out: sinkOf(process.stdout),
    error: sinkOf(process.stderr),
    // Looked at only by whoever reads it: to touch standard input opens it.
    get input() {
      input ??= standardInput();
      return input;
    },
    clock: systemClock,
    randomWord: (length) => randomWord(systemRandom, length),
    connect,
    readText,
    readUpload: async (path, kind) => (await import('./start-upload.ts')).readUpload(path, kind),
    writeSecret,
    newFile,
    onSignal: (signal, listener) => {
      process.on(signal, listener);
      // A part of `mesq up` outlives it by no more than its own stop, even where that was killed with SIGKILL.
      if (signal === 'SIGTERM') whenOrphaned(listener);
      return () => process.off(signal, listener);
    },
  };
}

/** The channel that `mesq up` gives its parts, if this is one (start-part.ts). It holds no process open by itself. */
function whenOrphaned(listener: () => void): void {
  if (process.channel === undefined) return;
  process.once('disconnect', listener);
  process.channel.unref();
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry in the system's table, as containers have them.
    return process.env['USER'] ?? 'user';
  }
}

function sinkOf(stream: NodeJS.WriteStream): Sink {
  let open = true;
  // Also told to the write itself; without a listener it would end the process.
  stream.on('error', () => {
    open = false;
  });
  const { NO_COLOR, TERM } = process.env;
  const isTerminal = stream.isTTY === true;
  return {
    isTerminal,
    get columns() {
      return isTerminal ? stream.columns : undefined;
    },
    colours: isTerminal && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb',
    write: (data) =>
      new Promise((resolve) => {
        if (!open) resolve(false);
        else stream.write(data, (error) => resolve(error === null || error === undefined));
      }),
  };
}

/** From the first packet to the last SUBACK, on a slow link too: over TLS and a round trip of 300 ms it takes 1.2 s. */
const LEAST_ATTEMPT_MS = 1_500;
const LONGEST_ATTEMPT_MS = 4_000;

async function connect(options: ConnectOptions): Promise<Connection | Fault> {
  const { urls, prefix, name, password, timeoutMs } = options;
  const session = randomWord(systemRandom, 8);
  let ca: string | undefined;
  if (options.ca !== undefined) {
    const text = await readText(options.ca);
    if (text instanceof Fault) return new Fault(text.code, `--ca: ${text.message}`, text.hint);
    if (text === undefined)
      return new Fault('BAD_USAGE', `--ca: there is no file ${options.ca}`, 'Pass the PEM file with --ca.');
    ca = text;
  }
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  try {
    const bus = connectMqttBus({
      urls,
      clientId: `${name}/${session}`,
      username: name,
      ...(password === undefined ? {} : { password }),
      ...(ca === undefined ? {} : { ca }),
      connectTimeoutMs: attemptMs(timeoutMs, urls.length),
      clock: systemClock,
      random: systemRandom,
      log: silent,
    });
    const client = createClient({ bus, urls, prefix, name, session, clock: systemClock, random: systemRandom });
    const close = async (): Promise<void> => {
      client.close();
      await bus.close();
    };
    try {
      await bus.ready(timeoutMs);
    } catch (error) {
      await close();
      throw error;
    }
    return { client, bus, close };
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return connectFault(error, name, password !== undefined);
  }
}

/** What to do about a connection that did not come to be. */
export function connectFault(error: BusError, name: string, hasToken: boolean): Fault {
  const code = faultCode(error);
  if (code !== 'BAD_CREDENTIALS' || hasToken) return new Fault(code, error.message, wayHint(error.message));
  // On loopback a name is enough until somebody makes a token for it: a board may have joined under this very name.
  return new Fault(
    code,
    `no token was given, and the broker takes nobody as ${name} without one`,
    'Pass it with --token or MESQ_TOKEN; on a master\'s machine the operator\'s is in its data folder: --token "$(cat DATA/operator-token)".',
  );
}

/** All brokers but the last may be silent, a frozen one for example, and time is left for an answer. */
function attemptMs(timeoutMs: number, urls: number): number {
  const partMs = urls === 1 ? timeoutMs : Math.max(LEAST_ATTEMPT_MS, Math.floor(timeoutMs / (2 * urls)));
  return Math.min(LONGEST_ATTEMPT_MS, partMs);
}

function faultCode({ code, message }: BusError): FaultCode {
  if (message.includes(NO_LEADER_YET)) return 'NO_LEADER';
  if (code === 'BAD_CREDENTIALS' || code === 'INSECURE' || code === 'NOT_ALLOWED') return code;
  return code === 'BAD_URL' ? 'BAD_USAGE' : 'UNREACHABLE';
}

async function readText(path: string): Promise<string | undefined | Fault> {
  try {
    if (path === '-') return await readStandardInput();
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      return size > MOST_TEXT ? tooLarge(path) : await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return new Fault('BAD_USAGE', fileWords(path, error, 'read'), 'Check the path and who may read it.');
  }
}

async function readStandardInput(): Promise<string | Fault> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const piece of process.stdin) {
    text += piece;
    if (text.length > MOST_TEXT) return tooLarge('standard input');
  }
  return text;
}

function tooLarge(what: string): Fault {
  return new Fault('TOO_LARGE', `${what} is over ${MOST_TEXT / 1_048_576} MB`);
}

async function writeSecret(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const handle = await open(`${path}.new`, 'w', 0o600);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
  await chmod(`${path}.new`, 0o600);
  await rename(`${path}.new`, path);
}

/** The version of the package that this file was built in: `package.json` is two folders up, bundled or not. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
