import { type ChildProcess, spawn } from 'node:child_process';
import { FAULTS, Fault } from '../protocol/faults.ts';
import { LogFile } from './start-log-file.ts';

export interface PartOptions {
  /** Its name in messages and the name of its log: `m1`, `a1`. */
  readonly name: string;
  /** Of `node`: the script of mesq, then its arguments. Asked before every start. */
  readonly argv: () => readonly string[];
  readonly logFile: string;
  /** Each line that it prints to standard output. */
  readonly onLine?: (line: string) => void;
  /** It died, and is started again, or ended for good. */
  readonly onDeath?: (text: string) => void;
}

/** Another start would end the same way: the agent was declared gone. */
const FOR_GOOD = FAULTS.GONE.exit;
/** Between a part's death and its next start. */
const AGAIN_MS = 1_000;
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 10_000;
const TAIL_BYTES = 4_096;

/** One process of a cluster on this machine: started again a second after it dies, until it is stopped or ends for good. */
export class Part {
  readonly #options: PartOptions;
  readonly #log: LogFile;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  #exited: Promise<void> = Promise.resolve();
  #tail = '';
  #died: ((fault: Fault) => void) | undefined;
  /** Resolves with what it said when it died before {@link ready} was called. */
  readonly diedAtStart: Promise<Fault>;

  constructor(options: PartOptions) {
    this.#options = options;
    this.#log = new LogFile(options.logFile);
    this.diedAtStart = new Promise((resolve) => {
      this.#died = resolve;
    });
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** From now on, its death is something to recover from. */
  ready(): void {
    this.#died = undefined;
  }

  /** Asks it to stop, and waits for its end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    child?.kill('SIGTERM');
    const timer = setTimeout(() => child?.kill('SIGKILL'), GRACE_MS);
    await this.#exited;
    clearTimeout(timer);
    this.#log.close();
  }

  #start(): void {
    // A process group of its own: Ctrl-C reaches us alone, and the parts are stopped in order.
    const child = spawn(process.execPath, this.#options.argv(), {
      // The channel carries nothing. Its end tells a part that we are gone, however we went: see start-terminal.ts.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
      env: withoutContext(process.env),
    });
    this.#child = child;
    this.#tail = '';
    let line = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (line + text).split('\n');
      line = lines.pop() ?? '';
      for (const one of lines) this.#options.onLine?.(one);
    });
    child.stderr?.on('data', (data: Buffer) => {
      this.#log.write(data);
      this.#tail = (this.#tail + data.toString('utf8')).slice(-TAIL_BYTES);
    });
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => this.#ended(error.message, null, resolve));
      child.once('close', (code, signal) => this.#ended(signal ?? `exit code ${code}`, code, resolve));
    });
  }

  #ended(how: string, code: number | null, resolve: () => void): void {
    resolve();
    if (this.#stopping || this.#child === undefined) return;
    this.#child = undefined;
    if (this.#died !== undefined) {
      this.#stopping = true;
      this.#died(this.#lastWords(how));
      return;
    }
    if (code === FOR_GOOD) {
      const { message, hint } = this.#lastWords(how);
      this.#options.onDeath?.(`${message}: it is not started again. ${hint}`);
      return;
    }
    this.#options.onDeath?.(`${this.#options.name} ended (${how}); starting it again`);
    this.#timer = setTimeout(() => this.#start(), AGAIN_MS);
  }

  /** The fault that it printed at its end (cli/output.ts printFault), or that it gave none. */
  #lastWords(how: string): Fault {
    const at = this.#tail.lastIndexOf('error: ');
    const [message = '', ...hint] = this.#tail
      .slice(at + 'error: '.length)
      .trimEnd()
      .split('\n');
    if (at < 0)
      return new Fault('UNSUPPORTED', `${this.#options.name} did not start: ${how}`, `See ${this.#options.logFile}.`);
    const code = message.includes('EADDRINUSE') || message.includes('held by') ? 'IN_USE' : 'UNSUPPORTED';
    return new Fault(code, `${this.#options.name}: ${message}`, hint.map((line) => line.trim()).join(' ') || undefined);
  }
}

/** A cluster of our own is not the one that the person's other commands speak to: a token for that is none for this. */
function withoutContext(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { MESQ_URL: _url, MESQ_TOKEN: _token, MESQ_PREFIX: _prefix, ...rest } = environment;
  return rest;
}
