import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * A task in bash that writes wall-clock moments to files: `FILE.started` when it begins to run, `FILE.ended` when SIGTERM
 * has come. bash has the time at hand: no process is started for it.
 */
export function untilTerminated(file: string): string[] {
  return ['bash', '-c', `trap 'echo $EPOCHREALTIME >${file}.ended; exit' TERM; ${moment(file)}; sleep 600 & wait`];
}

/** The same, with only its first moment. */
export function startedAndEnded(file: string): string[] {
  return ['bash', '-c', moment(file)];
}

function moment(file: string): string {
  return `echo $EPOCHREALTIME >${file}.started`;
}

/** Wall clock, milliseconds, to be compared with {@link wallMs}; waits until the file says it. */
export async function momentIn(path: string): Promise<number> {
  for (;;) {
    const text = existsSync(path) ? readFileSync(path, 'latin1') : '';
    // bash writes the locale's decimal sign.
    if (text.endsWith('\n')) return Number(text.trim().replace(',', '.')) * 1_000;
    await pause(2);
  }
}

/** Wall clock in milliseconds, whole ones: what is compared is read by two processes of one machine. */
export function wallMs(): number {
  return Date.now();
}
