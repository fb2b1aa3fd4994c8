/**
 * The machine's own files (`/proc`, `/sys`, `/etc`, `/dev`) and tools, as firmware adapters use them: absolute paths below
 * a root that is `/`, or another one with `--sysroot`. Nothing here rejects or hangs: what is missing, unreadable, outside
 * the root or too slow reads as undefined (a sysfs file of a sick sensor may block for ever).
 */
export interface DeviceFiles {
  /** The first `maxBytes` of a file. */
  read(path: string, maxBytes: number, timeoutMs: number): Promise<Uint8Array | undefined>;
  /** Names in a folder, sorted, at most `maxNames`. */
  list(path: string, maxNames: number, timeoutMs: number): Promise<readonly string[] | undefined>;
  /** Size of the file system that holds `path`, which is a path of this machine and not below the root. */
  disk(path: string, timeoutMs: number): Promise<Disk | undefined>;
  /**
   * Runs a program of the machine (`nvidia-smi`), looked up in PATH, without a shell: the first `maxBytes` of its standard
   * output, whatever its exit status (tools of firmware tell errors in their output, with status 0). At `timeoutMs`, or
   * when it has said enough, it is killed, and what it had printed is the answer. Undefined where there is no such
   * program, where it could not be started, and always below another root than `/`.
   */
  run(program: string, argv: readonly string[], maxBytes: number, timeoutMs: number): Promise<Uint8Array | undefined>;
  /** What the running process knows of its machine; undefined below another root than `/`. */
  host(): Host | undefined;
}

export interface Disk {
  readonly totalBytes: number;
  /** What an unprivileged user may still write. */
  readonly freeBytes: number;
}

export interface Host {
  /** Node's name: `arm64`, `arm`, `x64`, … of the running program, which may be a 32-bit one on a 64-bit kernel. */
  readonly architecture: string;
  readonly hostname: string;
  /** CPUs that this process may use. */
  readonly cpus: number;
  readonly memoryBytes: number;
}
