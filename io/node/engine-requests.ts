import { type IncomingMessage, request } from 'node:http';
import { EngineError, type Stop } from '../containers.ts';

/** The oldest version of the API with all that is asked of it: Docker 20.10, Podman 4. */
export const API = '/v1.41';
const ANSWER_BYTES = 4 * 1_048_576;
/** Making a container copies an image's files on some disks: a minute, on a slow card. */
const ANSWER_MS = 120_000;
const MESSAGE_LENGTH = 400;
/** What no second try changes, and Podman calls a failure of its own (status 500) all the same. */
const FOR_GOOD = /invalid reference format|repository name must|no command (or entrypoint )?(provided|specified)/i;

export interface EngineAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** Asks the engine behind a unix socket, and reads its whole answer: JSON of at most 4 MiB, within two minutes by default. */
export async function ask(
  socket: string,
  method: string,
  path: string,
  body?: unknown,
  patienceMs = ANSWER_MS,
): Promise<EngineAnswer> {
  const response = await open(socket, { method, path, body, patienceMs });
  const text = await textOf(response, ANSWER_BYTES);
  return { status: response.statusCode ?? 0, body: parse(text) };
}

/**
 * Asks for an answer that lasts as long as what it is about. `each` gets its pieces one by one; the next waits for it.
 * Rejects with what an answer that is no success says.
 */
export async function stream(
  socket: string,
  { method, path, stop }: { readonly method: string; readonly path: string; readonly stop: Stop },
  each: (piece: Buffer) => void | Promise<void>,
): Promise<void> {
  if (stop.stopped) throw new EngineError('STOPPED', 'asked to stop');
  const response = await open(socket, { method, path, stop });
  const { statusCode = 0 } = response;
  if (statusCode >= 300) throw refusal({ status: statusCode, body: parse(await textOf(response, ANSWER_BYTES)) });
  try {
    for await (const piece of response) await each(piece as Buffer);
  } catch (error) {
    throw broken(error, stop);
  }
  if (stop.stopped) throw new EngineError('STOPPED', 'asked to stop');
}

/** What an answer that is no success means. */
export function refusal({ status, body }: EngineAnswer): EngineError {
  const words = messageOf(body) ?? `the engine answers with status ${status}`;
  if (status === 404) return new EngineError('NOT_FOUND', words);
  return new EngineError(status >= 500 && !FOR_GOOD.test(words) ? 'FAILED' : 'REFUSED', words);
}

/** What the engine says in an answer of its own; undefined where it says nothing. */
export function messageOf(body: unknown): string | undefined {
  const { message } = record(body);
  return typeof message === 'string' ? message.slice(0, MESSAGE_LENGTH) : undefined;
}

/** The fields of a JSON object; none where it is none. */
export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

interface Question {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly patienceMs?: number;
  readonly stop?: Stop;
}

function open(socketPath: string, { method, path, body, patienceMs, stop }: Question): Promise<IncomingMessage> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request({
      socketPath,
      method,
      path: `${API}${path}`,
      agent: false,
      headers: {
        host: 'engine',
        ...(text === undefined
          ? { 'content-length': '0' }
          : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
      },
      ...(patienceMs === undefined ? {} : { timeout: patienceMs }),
    });
    asked.once('response', resolve);
    asked.once('timeout', () => asked.destroy(new Error(`no answer within ${(patienceMs ?? 0) / 1_000} s`)));
    asked.on('error', (error) =>
      reject(stop?.stopped === true ? new EngineError('STOPPED', 'asked to stop', error) : unavailable(error)),
    );
    stop?.onStop(() => asked.destroy(new Error('asked to stop')));
    asked.end(text);
  });
}

async function textOf(response: IncomingMessage, most: number): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response) {
      bytes += (piece as Buffer).length;
      if (bytes > most) throw new EngineError('REFUSED', `an answer of more than ${most} bytes`);
      pieces.push(piece as Buffer);
    }
  } catch (error) {
    throw error instanceof EngineError ? error : unavailable(error);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function broken(error: unknown, stop: Stop): unknown {
  if (stop.stopped) return new EngineError('STOPPED', 'asked to stop', error);
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET' ? unavailable(error) : error;
}

function unavailable(error: unknown): EngineError {
  return new EngineError(
    'UNAVAILABLE',
    `the container engine: ${error instanceof Error ? error.message : error}`,
    error,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.trim() };
  }
}
