import type { Bus, Client, Clock, Fault, UploadSource } from '../sdk/index.ts';

/** Standard output or standard error. */
export interface Sink {
  readonly isTerminal: boolean;
  /** Characters a line; undefined where it is no terminal. */
  readonly columns: number | undefined;
  readonly colours: boolean;
  /** Resolves once the system took it; false once nobody reads any more (EPIPE), and ever after. */
  write(data: string | Uint8Array): Promise<boolean>;
}

/** Standard input. */
export interface Input {
  readonly isTerminal: boolean;
  /** Of the terminal that standard output is; undefined where that is none. */
  size(): { readonly rows: number; readonly columns: number } | undefined;
  /** Every key reaches `read` as it is typed, Ctrl-C too, and is not shown; undone at the end of the process at the latest. */
  raw(on: boolean): void;
  /** Calls `listener` after the size has changed, until the returned function is called. */
  onResize(listener: () => void): () => void;
  /** Everything, to its end. */
  read(): AsyncIterable<Uint8Array>;
}

export interface ConnectOptions {
  readonly urls: readonly string[];
  readonly prefix: string;
  /** The MQTT user name, and the name in the topics. */
  readonly name: string;
  /** The token's secret half. */
  readonly password?: string;
  /** File in PEM with the authorities to trust. */
  readonly ca?: string;
  readonly timeoutMs: number;
}

/** A cluster, reached. */
export interface Connection {
  readonly client: Client;
  readonly bus: Bus;
  /** Leaves politely. */
  close(): Promise<void>;
}

/** A file that comes to be under its name once it is whole. */
export interface NewFile {
  /** Appends. Faults: DISK, BAD_USAGE. */
  write(bytes: Uint8Array): Promise<Fault | undefined>;
  /** It is whole. Faults: EXISTS where another has taken the name meanwhile, DISK, BAD_USAGE. */
  keep(): Promise<Fault | undefined>;
  /** Leaves nothing. */
  discard(): Promise<void>;
}

/** A file or a folder, read and cut into blocks. */
export interface ReadUpload extends UploadSource {
  /** How many files it has. */
  readonly files: number;
  /** Its owner may execute it; false of a folder. */
  readonly executable: boolean;
  /** Folders of version control that were left out. */
  readonly skipped: number;
}

export type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** Everything a verb takes of the world around it: a real process gives it in start-terminal.ts, tests a scripted one. */
export interface Terminal {
  readonly version: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The operating system's name of the user. */
  readonly user: string;
  readonly out: Sink;
  readonly error: Sink;
  readonly input: Input;
  readonly clock: Clock;
  /** Letters and digits by chance: for ids. */
  randomWord(length: number): string;
  /** Faults: UNREACHABLE, BAD_CREDENTIALS, INSECURE, BAD_USAGE. */
  connect(options: ConnectOptions): Promise<Connection | Fault>;
  /** The text of a file, `-` being standard input; undefined where there is none. Faults: BAD_USAGE, TOO_LARGE. */
  readText(path: string): Promise<string | undefined | Fault>;
  /** Reads a file, or a folder as a tar, to be uploaded. Faults: BAD_USAGE, TOO_LARGE, CONFLICT where it changes meanwhile. */
  readUpload(path: string, kind: 'file' | 'folder'): Promise<ReadUpload | Fault>;
  /** Writes a file that only its owner may read, and the folders above it. */
  writeSecret(path: string, text: string): Promise<void>;
  /** Begins a file; with `force` in place of what is there. Faults: EXISTS, BAD_USAGE, DISK. */
  newFile(path: string, force: boolean): Promise<NewFile | Fault>;
  /** Calls `listener` for every such signal, instead of the process ending, until the returned function is called. */
  onSignal(signal: Signal, listener: () => void): () => void;
}
