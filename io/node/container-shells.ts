import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { EngineError } from '../containers.ts';
import { type SandboxShell, type SandboxShells, ShellError, type ShellStart } from '../sandbox-shells.ts';
import { containerOf } from './container-launcher.ts';
import { API, ask, messageOf, record, refusal } from './engine-requests.ts';
import { LogFrames } from './log-frames.ts';

/** Between two looks at whether the engine knows of an end already. */
const LOOK_MS = 50;
const LOOKS = 100;
const END_OF_INPUT = Uint8Array.of(4);

/**
 * Programs beside tasks that are containers, started in them by the engine behind the socket, where there is one now;
 * `others` starts those beside all other tasks. What is still there when the agent's process dies stays until the container ends.
 */
export function containerShells(
  socketNow: () => string | undefined,
  root: string,
  others: SandboxShells,
): SandboxShells {
  return {
    open: async (start) => {
      const name = await containerOf(root, start.folder);
      if (name === undefined) return await others.open(start);
      const socket = socketNow();
      if (socket === undefined) throw new ShellError('FAILED', 'the container engine is gone');
      try {
        return await open(socket, name, start);
      } catch (error) {
        throw error instanceof EngineError ? new ShellError('FAILED', error.message, error) : error;
      }
    },
  };
}

async function open(socket: string, name: string, start: ShellStart): Promise<SandboxShell> {
  const { argv, terminal } = start;
  const made = await ask(socket, 'POST', `/containers/${encodeURIComponent(name)}/exec`, {
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: terminal !== undefined,
    ...(terminal === undefined
      ? {}
      : { Env: [`TERM=${terminal.type}`], ConsoleSize: [terminal.rows, terminal.columns] }),
    Cmd: argv,
  });
  if (made.status >= 300) throw refusal(made);
  const id = String(record(made.body)['Id']);
  const path = `/exec/${encodeURIComponent(id)}`;
  let stream: Socket;
  try {
    stream = await attach(socket, `${path}/start`, { Detach: false, Tty: terminal !== undefined });
  } catch (error) {
    const code = error instanceof EngineError ? statusOf(error.message) : undefined;
    if (code === undefined) throw error;
    await start.onOutput('stderr', new TextEncoder().encode(`mesq: ${(error as EngineError).message}\n`));
    return endedShell(code);
  }
  return new ContainerShell(socket, path, stream, start);
}

/** As a shell says it of a program that it cannot execute. */
function statusOf(message: string): number | undefined {
  if (/permission denied/i.test(message)) return 126;
  return /executable file|no such file|not found/i.test(message) ? 127 : undefined;
}

function endedShell(code: number): SandboxShell {
  return {
    ended: Promise.resolve(code),
    write: () => Promise.resolve(),
    endInput: () => undefined,
    resize: () => undefined,
    hangUp: () => undefined,
  };
}

/** The engine's answer is the connection itself, in both directions from there on. */
function attach(socketPath: string, path: string, body: unknown): Promise<Socket> {
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = request({
      ...{ socketPath, method: 'POST', path: `${API}${path}`, agent: false },
      headers: {
        host: 'engine',
        connection: 'Upgrade',
        upgrade: 'tcp',
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(text)),
      },
    });
    asked.once('upgrade', (_response, stream: Socket, head: Buffer) => {
      if (head.length > 0) stream.unshift(head);
      resolve(stream);
    });
    asked.once('response', (response: IncomingMessage) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.once('end', () => {
        const said = Buffer.concat(pieces).toString('utf8');
        reject(refusal({ status: response.statusCode ?? 0, body: parse(said) }));
      });
    });
    asked.once('error', (error) =>
      reject(new EngineError('UNAVAILABLE', `the container engine: ${error.message}`, error)),
    );
    asked.end(text);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.trim() };
  }
}

class ContainerShell implements SandboxShell {
  readonly ended: Promise<number>;
  readonly #socket: string;
  readonly #path: string;
  readonly #stream: Socket;
  readonly #hasTerminal: boolean;
  #over = false;

  constructor(socket: string, path: string, stream: Socket, { terminal, onOutput }: ShellStart) {
    this.#socket = socket;
    this.#path = path;
    this.#stream = stream;
    this.#hasTerminal = terminal !== undefined;
    stream.on('error', () => undefined);
    // Podman 4.3 pays no heed to the size in the first request.
    if (terminal !== undefined) this.resize(terminal.rows, terminal.columns);
    const frames = new LogFrames((from, bytes) => onOutput(from, new Uint8Array(bytes)));
    const take = this.#hasTerminal
      ? (piece: Buffer): Promise<void> => onOutput('stdout', new Uint8Array(piece))
      : (piece: Buffer): Promise<void> => frames.add(piece);
    this.ended = this.#copy(take).then(() => this.#code());
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stream.destroyed || this.#stream.writableEnded) resolve();
      else this.#stream.write(bytes, () => resolve());
    });
  }

  endInput(): void {
    if (this.#hasTerminal) void this.write(END_OF_INPUT);
    else this.#stream.end();
  }

  resize(rows: number, columns: number): void {
    if (!this.#hasTerminal || this.#over) return;
    void ask(this.#socket, 'POST', `${this.#path}/resize?h=${rows}&w=${columns}`).catch(() => undefined);
  }

  hangUp(force: boolean): void {
    void this.#hangUp(force ? 'SIGKILL' : 'SIGHUP');
  }

  async #hangUp(signal: NodeJS.Signals): Promise<void> {
    const { Pid } = await this.#inspect();
    if (this.#over || typeof Pid !== 'number' || Pid <= 1) return;
    try {
      process.kill(Pid, signal);
    } catch {
      // It ended by itself, or is another user's: the container's end is its end.
    }
  }

  async #copy(take: (piece: Buffer) => Promise<void>): Promise<void> {
    try {
      for await (const piece of this.#stream) await take(piece as Buffer);
    } catch {
      // The engine went away: what it says of the end counts.
    }
  }

  async #code(): Promise<number> {
    this.#stream.destroy();
    this.#over = true;
    for (let looks = 0; looks < LOOKS; looks++) {
      const { Running, ExitCode } = await this.#inspect();
      if (Running === false && typeof ExitCode === 'number') return ExitCode & 255;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return 125;
  }

  async #inspect(): Promise<Readonly<Record<string, unknown>>> {
    const answer = await ask(this.#socket, 'GET', `${this.#path}/json`).catch(() => undefined);
    if (answer === undefined || messageOf(answer.body) !== undefined) return {};
    return record(answer.body);
  }
}
