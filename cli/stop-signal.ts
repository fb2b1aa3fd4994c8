import type { Terminal } from './terminal.ts';

/** Resolves at the first SIGINT, SIGTERM or SIGHUP from now on; none of them ends the process by itself any more. */
export function stopSignal(terminal: Pick<Terminal, 'onSignal'>): Promise<undefined> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) terminal.onSignal(signal, () => resolve(undefined));
  });
}
