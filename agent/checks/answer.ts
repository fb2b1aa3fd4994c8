import type { CheckStatus } from '../../protocol/task-checks.ts';

/** What a probe found (io/prober.ts). */
export interface Found {
  readonly exitCode?: number;
  readonly statusCode?: number;
  readonly connected?: boolean;
  readonly trouble?: string;
}

/** Exit status 0, an HTTP status of 200 to 399 (as Mesos has it), a connection that opened. */
export function isWell(kind: CheckStatus['kind'], { exitCode, statusCode, connected }: Found): boolean {
  switch (kind) {
    case 'command':
      return exitCode === 0;
    case 'http':
      return statusCode !== undefined && statusCode >= 200 && statusCode <= 399;
    case 'tcp':
      return connected === true;
  }
}

/** What a check tells of it; a probe without an answer leaves only its kind. */
export function checkStatusOf(kind: CheckStatus['kind'], { exitCode, statusCode, connected }: Found): CheckStatus {
  switch (kind) {
    case 'command':
      return { kind, ...(exitCode === undefined ? {} : { exitCode }) };
    case 'http':
      return { kind, ...(statusCode === undefined ? {} : { statusCode }) };
    case 'tcp':
      return { kind, ...(connected === undefined ? {} : { succeeded: connected }) };
  }
}

export function isSameStatus(left: CheckStatus | undefined, right: CheckStatus): boolean {
  return (
    left?.kind === right.kind &&
    left.exitCode === right.exitCode &&
    left.statusCode === right.statusCode &&
    left.succeeded === right.succeeded
  );
}

/** For the message of a report: what was wrong. */
export function wordsOf(kind: CheckStatus['kind'], { exitCode, statusCode, trouble }: Found): string {
  if (kind === 'command' && exitCode !== undefined) return `its command exited with ${exitCode}`;
  if (kind === 'http' && statusCode !== undefined) return `HTTP status ${statusCode}`;
  return trouble ?? 'no answer';
}
