import { ReadStream } from 'node:tty';
import type { Input } from './terminal.ts';

/** Standard input of a real process; its terminal is left as it was found, however the process ends by itself. */
export function standardInput(): Input {
  const { stdin, stdout } = process;
  const terminal = stdin instanceof ReadStream ? stdin : undefined;
  let raw = false;
  const setRaw = (on: boolean): void => {
    if (terminal === undefined || raw === on) return;
    if (!raw) process.once('exit', () => terminal.setRawMode(false));
    raw = on;
    terminal.setRawMode(on);
  };
  return {
    isTerminal: terminal !== undefined,
    raw: setRaw,
    size: () => (stdout.isTTY === true ? { rows: stdout.rows, columns: stdout.columns } : undefined),
    onResize: (listener) => {
      stdout.on('resize', listener);
      return () => stdout.off('resize', listener);
    },
    read: async function* () {
      for await (const piece of stdin) yield new Uint8Array(piece as Buffer);
    },
  };
}
