/**
 * Lines of text both ways between processes of one machine: what executors and their agent speak over.
 */
export interface LineConnection {
  /**
   * Sends a line, without its end and without a line break in it. What a peer does not read is kept up to
   * `LINE_LIMITS.waitingBytes`; then the connection is closed. After the end nothing happens.
   */
  send(line: string): void;
  /**
   * Called for each line of the peer; lines that came before are kept for the first listener. Where it answers with a
   * promise, the lines after wait until that is settled, and the peer with them: nothing more is read.
   */
  onLine(listener: (line: string) => void | Promise<void>): void;
  /** Called once when the connection has ended, on whichever side, also where it has ended already. */
  onClosed(listener: () => void): void;
  /** Ends it, after what was sent. */
  close(): void;
}

/** Where executors connect to. */
export interface LineListener {
  /** What a process that works in `folder` (absolute) connects to: a path short enough for a Unix socket. */
  pathFrom(folder: string): string;
  /** Called for each connection; those that came before are kept for the first listener. */
  onConnection(listener: (connection: LineConnection) => void): void;
  /** Takes no more, and closes all there are. */
  close(): Promise<void>;
}

/** Bounds of a connection: a longer line closes it, and so does a peer that leaves more unread. */
export const LINE_LIMITS = { lineBytes: 65_536, waitingBytes: 1_048_576, connections: 1_000 } as const;
