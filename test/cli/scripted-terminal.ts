import { runCommandLine } from '../../cli/program.ts';
import type { Signal, Sink, Terminal } from '../../cli/terminal.ts';
import type { Verb } from '../../cli/verb.ts';
import { VERBS } from '../../cli/verbs.ts';
import { Fault } from '../../protocol/faults.ts';
import { createClient } from '../../sdk/client.ts';
import type { BatchWorld } from '../frameworks/batch-world.ts';

// Verbs are read from the disk when they are first typed: on a busy machine an hour of virtual time passes meanwhile.
const verbs: readonly Verb[] = await Promise.all(Object.values(VERBS).map(({ load }) => load()));
await Promise.all(verbs.flatMap(({ verbs = {} }) => Object.values(verbs).map(({ load }) => load())));
await Promise.all([import('../../protocol/constraints.ts'), import('../../cli/job-file.ts')]);

/** A shell by hand: what is typed runs against a batch framework and a master under the test's control, on virtual time. */
export class ScriptedShell {
  readonly world: BatchWorld;
  readonly files = new Map<string, string>();
  stdout = '';
  stderr = '';
  columns: number | undefined;
  /** How long the brokers let one wait. */
  connectMs = 0;
  /** How connecting ends, where it does not succeed. */
  connectFault: Fault | undefined;
  readonly #listeners = new Map<Signal, Set<() => void>>();
  #words = 0;

  constructor(world: BatchWorld) {
    this.world = world;
  }

  /** True while somebody listens for it: else it would end the process. */
  listens(signal: Signal): boolean {
    return (this.#listeners.get(signal)?.size ?? 0) > 0;
  }

  signal(signal: Signal): void {
    for (const listener of [...(this.#listeners.get(signal) ?? [])]) listener();
  }

  /** Types a command; its exit code once it has ended. */
  type(...argv: string[]): Promise<number> {
    return runCommandLine(argv, this.#terminal());
  }

  /** Types a command, and lets time pass until it has ended. */
  async mesq(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    this.stdout = '';
    this.stderr = '';
    const code = await this.world.settled(this.type(...argv));
    return { code, stdout: this.stdout, stderr: this.stderr };
  }

  #terminal(): Terminal {
    const { world, files } = this;
    return {
      version: '0.0.0',
      environment: {},
      user: 'ann',
      out: this.#sink((text) => {
        this.stdout += text;
      }),
      error: this.#sink((text) => {
        this.stderr += text;
      }),
      input: {
        isTerminal: false,
        size: () => undefined,
        raw: () => {},
        onResize: () => () => {},
        read: async function* () {},
      },
      clock: world.clock,
      randomWord: (length) => String(++this.#words).padStart(length, 'j'),
      connect: async ({ name }) => {
        if (this.connectFault !== undefined) return this.connectFault;
        if (this.connectMs > 0) await new Promise<void>((resolve) => world.clock.after(this.connectMs, resolve));
        const session = `s${++this.#words}`;
        const bus = world.bus(`${name}/${session}`);
        await new Promise<void>((resolve) => bus.onConnected(resolve));
        const client = createClient({ bus, name, session, clock: world.clock, random: world.random });
        return { client, bus, close: () => bus.close() };
      },
      readUpload: (path) => Promise.resolve(new Fault('BAD_USAGE', `there is no ${path}`)),
      readText: (path) => Promise.resolve(files.get(path)),
      writeSecret: (path, text) => Promise.resolve(void files.set(path, text)),
      newFile: (path) => Promise.resolve(new Fault('BAD_USAGE', `no file ${path} in this world`)),
      onSignal: (signal, listener) => {
        const listeners = this.#listeners.get(signal) ?? new Set();
        this.#listeners.set(signal, listeners);
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
  }

  #sink(write: (text: string) => void): Sink {
    return {
      isTerminal: this.columns !== undefined,
      columns: this.columns,
      colours: false,
      write: (data) => {
        write(typeof data === 'string' ? data : new TextDecoder().decode(data));
        return Promise.resolve(true);
      },
    };
  }
}
