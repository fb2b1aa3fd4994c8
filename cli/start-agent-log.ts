import type { Log } from '../io/log.ts';
import { createLog, type LogLevel } from '../io/node/log.ts';
import type { AgentStats } from '../protocol/agent-stats.ts';
import { Fault } from '../protocol/faults.ts';
import { fileWords, missingFolder } from './start-file-words.ts';
import { LogFile } from './start-log-file.ts';

/** Of the log file and the one before it, each. */
const MOST_BYTES = 1_048_576;
/** What an agent says of some fifty broken links: less is not worth a write to the card. */
const GATHER_BYTES = 16_384;

export interface AgentLog {
  readonly log: Log;
  readonly counts: () => AgentStats['log'];
  /** Writes what was gathered. */
  readonly close: () => void;
}

/**
 * The agent's own log: on standard error, or in a file of at most 1 MB beside the one before it. Lines for the file are
 * gathered; an error, and the end of the process, write them at once.
 */
export function agentLog(level: LogLevel, path: string | undefined): AgentLog | Fault {
  let lines = 0;
  if (path === undefined) {
    const write = (line: string): void => {
      lines++;
      process.stderr.write(line);
    };
    return { log: createLog({ level, write }), counts: () => ({ lines, dropped: 0 }), close: () => {} };
  }
  const missing = missingFolder(path);
  if (missing !== undefined)
    return new Fault('BAD_USAGE', `--log-file: ${missing}`, 'Make it first, or name a file in another folder.');
  let file: LogFile;
  try {
    file = new LogFile(path, { mostBytes: MOST_BYTES, gatherBytes: GATHER_BYTES });
  } catch (error) {
    return new Fault('BAD_USAGE', `--log-file: ${fileWords(path, error, 'write')}`, 'Name another file.');
  }
  const written = createLog({
    level,
    write: (line) => {
      lines++;
      file.write(Buffer.from(line));
    },
  });
  const log: Log = {
    ...written,
    error: (event, fields) => {
      written.error(event, fields);
      file.flush();
    },
  };
  const flush = (): void => file.flush();
  process.on('exit', flush);
  return {
    log,
    counts: () => ({ lines, dropped: file.dropped }),
    close: () => {
      process.off('exit', flush);
      file.close();
    },
  };
}
