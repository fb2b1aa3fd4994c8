import type { Clock, Timer } from '../io/clock.ts';
import { type SandboxShell, type SandboxShells, ShellError, type ShellStart } from '../io/sandbox-shells.ts';
import type { BULK } from '../protocol/agent-link.ts';
import type { Outgoing } from '../protocol/envelope.ts';
import type { Exec, ExecStart } from '../protocol/exec.ts';
import { Fault } from '../protocol/faults.ts';
import { LIMITS, TIMES } from '../protocol/limits.ts';
import { OutputWindow } from './exec/output-window.ts';
import { SessionInput } from './exec/session-input.ts';

/** Bytes of one piece: two fit into a chunk, so that a key's echo never waits for much. */
const PIECE_BYTES = LIMITS.chunkBytes / 2;
const STREAMS = ['stdout', 'stderr'] as const;
type Stream = (typeof STREAMS)[number];

/** What of a run is needed to start a program beside it. */
export type BesideRun = Pick<ShellStart, 'folder' | 'environment'>;

/** What goes to a client beside where to. */
export type ExecNews = Partial<
  Pick<Extract<Outgoing<typeof BULK>, { type: 'EXEC_OUTPUT' }>, 'running' | 'taken' | 'piece' | 'ended' | 'fault'>
>;

export interface ExecSessionOptions {
  readonly exec: Pick<Exec, 'framework' | 'task' | 'attempt'>;
  readonly run: BesideRun;
  readonly shells: SandboxShells;
  readonly clock: Clock;
  readonly start: ExecStart;
  /** Rejects without a connection. */
  readonly send: (news: ExecNews) => Promise<void>;
  /** Nobody is to be told anything any more. */
  readonly over: () => void;
}

interface Output {
  readonly window: OutputWindow;
  /** Offset of what is sent next. */
  next: number;
  pumping: boolean;
  /** Whoever waits for room. */
  room: (() => void) | undefined;
}

/**
 * One program beside a task. It outlives breaks of the link: output is kept until its reader has used it, and holds the
 * program up when there is too much; input is taken once, by its offset. Without a word for the time of a lease it is
 * hung up on.
 */
export class ExecSession {
  readonly #options: ExecSessionOptions;
  readonly #input = new SessionInput(LIMITS.execInputWindowBytes);
  readonly #outputs: Readonly<Record<Stream, Output>> = { stdout: newOutput(), stderr: newOutput() };
  readonly #opened: Promise<SandboxShell | undefined>;
  /** What was asked of it, in order. */
  #asked: Promise<unknown>;
  #shell: SandboxShell | undefined;
  #turn = -1;
  #code: number | undefined;
  #telling: 'no' | 'once' | 'again' = 'no';
  #lease: Timer | undefined;
  #force: Timer | undefined;
  #closed = false;

  constructor(options: ExecSessionOptions) {
    this.#options = options;
    this.#opened = this.#open();
    this.#asked = this.#opened;
  }

  isBeside(framework: string, task: string, attempt: number): boolean {
    const { exec } = this.#options;
    return exec.framework === framework && exec.task === task && exec.attempt === attempt;
  }

  word({ turn, input, size, used, again = false }: Omit<Exec['word'], 'start'>): void {
    if (this.#closed) return;
    this.#lease?.cancel();
    this.#lease = this.#options.clock.after(TIMES.execLeaseMs, () => this.#abandoned());
    const fresh = input === undefined ? undefined : this.#input.accept(input);
    if (fresh !== undefined) this.#give(fresh.bytes, fresh.end);
    if (size !== undefined && turn > this.#turn) void this.#ask((shell) => shell.resize(size.rows, size.columns));
    for (const stream of STREAMS) {
      const output = this.#outputs[stream];
      output.window.use(used[stream]);
      if (again && turn > this.#turn) output.next = output.window.used;
      if (!output.window.full) output.room?.();
    }
    this.#turn = Math.max(this.#turn, turn);
    if (again) this.#tell();
    this.#pump();
  }

  /** There is a new connection: what was on the old one may be lost. */
  resend(): void {
    for (const stream of STREAMS) this.#outputs[stream].next = this.#outputs[stream].window.used;
    this.#tell();
    this.#pump();
  }

  /** Politely, and by force where that does not help; its end is told as any. */
  hangUp(): void {
    void this.#ask((shell) => shell.hangUp(false));
    this.#force ??= this.#options.clock.after(TIMES.execHangUpMs, () => void this.#ask((shell) => shell.hangUp(true)));
  }

  kill(): void {
    this.#close();
    this.#force?.cancel();
    void this.#ask((shell) => shell.hangUp(true));
  }

  /** Nothing more is told, and what it still writes is dropped. */
  leave(): void {
    this.#close();
    this.hangUp();
  }

  async #open(): Promise<SandboxShell | undefined> {
    const { shells, run, start } = this.#options;
    try {
      const shell = await shells.open({
        ...run,
        argv: start.argv,
        terminal: start.terminal,
        onOutput: (stream, bytes) => this.#wrote(this.#outputs[stream], bytes),
      });
      this.#shell = shell;
      this.#tell();
      void shell.ended.then((code) => this.#ended(code));
      return shell;
    } catch (error) {
      this.#options.send({ fault: faultOf(error) }).catch(() => {});
      this.#close();
      this.#options.over();
      return undefined;
    }
  }

  #ask(what: (shell: SandboxShell) => unknown): Promise<unknown> {
    return this.#opened.then((shell) => (shell === undefined || this.#code !== undefined ? undefined : what(shell)));
  }

  #give(bytes: Uint8Array, end: boolean): void {
    this.#asked = this.#asked.then(async () => {
      await this.#ask((shell) => shell.write(bytes));
      if (end) await this.#ask((shell) => shell.endInput());
      this.#input.took(bytes.length + (end ? 1 : 0));
      this.#tell();
    });
  }

  async #wrote(output: Output, bytes: Uint8Array): Promise<void> {
    if (this.#closed) return;
    output.window.add(bytes);
    this.#pump();
    if (!output.window.full) return;
    await new Promise<void>((resolve) => {
      output.room = () => {
        output.room = undefined;
        resolve();
      };
    });
  }

  #ended(code: number): void {
    this.#force?.cancel();
    this.#code = code;
    this.#tell();
  }

  /** What it has taken, that it runs, or how it ended: the newest, when the word before is out. */
  #tell(): void {
    if (this.#closed) return;
    if (this.#telling !== 'no') {
      this.#telling = 'again';
      return;
    }
    this.#telling = 'once';
    const told = (): void => {
      const again = this.#telling === 'again';
      this.#telling = 'no';
      if (again) this.#tell();
    };
    this.#options.send(this.#state()).then(told, told);
  }

  #state(): ExecNews {
    const taken = this.#input.taken;
    const running = this.#shell !== undefined;
    if (this.#code === undefined) return { running, taken };
    const { stdout, stderr } = this.#outputs;
    return { running, taken, ended: { code: this.#code, stdout: stdout.window.end, stderr: stderr.window.end } };
  }

  #pump(): void {
    for (const stream of STREAMS) {
      const output = this.#outputs[stream];
      if (output.pumping || this.#closed) continue;
      output.pumping = true;
      this.#sendPieces(stream, output).then(
        () => {
          output.pumping = false;
          // Written between the last look and now.
          if (output.next < output.window.end) this.#pump();
        },
        // No connection: the client says where it is when there is one again.
        () => {
          output.pumping = false;
        },
      );
    }
  }

  async #sendPieces(stream: Stream, output: Output): Promise<void> {
    const { window } = output;
    while (!this.#closed && output.next < window.end) {
      const offset = Math.max(output.next, window.used);
      const data = window.read(offset, PIECE_BYTES);
      output.next = offset + data.length;
      await this.#options.send({ running: true, taken: this.#input.taken, piece: { stream, offset, data } });
    }
  }

  #abandoned(): void {
    this.leave();
    this.#options.over();
  }

  #close(): void {
    this.#closed = true;
    this.#lease?.cancel();
    for (const stream of STREAMS) this.#outputs[stream].room?.();
  }
}

function newOutput(): Output {
  return { window: new OutputWindow(LIMITS.execWindowBytes), next: 0, pumping: false, room: undefined };
}

function faultOf(error: unknown): Fault {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof ShellError && error.code === 'UNSUPPORTED'
    ? new Fault('UNSUPPORTED', message, 'Install what is missing on that machine, or go without a terminal: --no-tty.')
    : new Fault('UNSUPPORTED', `the command was not started: ${message}`);
}
