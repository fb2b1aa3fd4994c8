import type { SandboxShell, SandboxShells, ShellError, ShellStart } from '../../io/sandbox-shells.ts';

/** A program beside a task, under the test's control. */
export class SimulatedShell implements SandboxShell {
  readonly start: ShellStart;
  readonly ended: Promise<number>;
  /** Everything it was given. */
  input = '';
  inputEnded = false;
  readonly sizes: [rows: number, columns: number][] = [];
  readonly hangUps: ('politely' | 'by force')[] = [];
  #end: (code: number) => void = () => undefined;

  constructor(start: ShellStart) {
    this.start = start;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    this.input += new TextDecoder().decode(bytes);
    return Promise.resolve();
  }

  endInput(): void {
    this.inputEnded = true;
  }

  resize(rows: number, columns: number): void {
    this.sizes.push([rows, columns]);
  }

  hangUp(force: boolean): void {
    this.hangUps.push(force ? 'by force' : 'politely');
    if (force) this.end(137);
  }

  end(code: number): void {
    this.#end(code);
  }

  says(text: string): Promise<void> {
    return this.start.onOutput('stdout', new TextEncoder().encode(text));
  }
}

/** Programs that do what the test has them do. */
export class SimulatedShells implements SandboxShells {
  readonly opened: SimulatedShell[] = [];
  /** Rejects the next starts. */
  trouble: ShellError | undefined;

  open(start: ShellStart): Promise<SandboxShell> {
    if (this.trouble !== undefined) return Promise.reject(this.trouble);
    const shell = new SimulatedShell(start);
    this.opened.push(shell);
    return Promise.resolve(shell);
  }
}
