/**
 * Asking a task on this machine whether it is well. Nothing here judges: an answer is what was found, and a probe that
 * found nothing in time has no answer.
 */
export interface Prober {
  /** Resolves with what was found, at the latest after `timeoutMs`; never rejects. */
  probe(probe: Probe, timeoutMs: number): Promise<ProbeAnswer>;
  /** Ends what is under way; those probes have no answer. */
  stop(): void;
}

export type Probe =
  /** Runs a program in `folder` (absolute), with `environment` on top of a minimal one; what it writes is nobody's. */
  | {
      readonly kind: 'command';
      readonly argv: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
      readonly folder: string;
    }
  /** GET `scheme://127.0.0.1:port/path`; redirections are not followed, certificates not checked. */
  | { readonly kind: 'http'; readonly scheme: 'http' | 'https'; readonly port: number; readonly path: string }
  /** Opens a connection to 127.0.0.1 and closes it. */
  | { readonly kind: 'tcp'; readonly port: number };

export interface ProbeAnswer {
  /** Of a command: 0 to 255, 128+n for signal n. */
  readonly exitCode?: number;
  /** Of an HTTP response. */
  readonly statusCode?: number;
  /** Whether the connection opened. */
  readonly connected?: boolean;
  /** Why there is no answer, in words. */
  readonly trouble?: string;
}
