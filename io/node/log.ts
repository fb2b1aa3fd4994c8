import type { Log, LogFields } from '../log.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LEVELS)[number];

export interface LogOptions {
  /** The least level that is written. Default `info`. */
  readonly level?: LogLevel;
  /** One JSON object a line (`time`, `level`, `event`, then the fields) instead of `time level event key=value …`. Default false. */
  readonly json?: boolean;
  /** Takes each finished line, with its line end. Default: standard error. */
  readonly write?: (line: string) => void;
}

/** Writes a line for each event. A field that is undefined is left out. */
export function createLog(options: LogOptions = {}): Log {
  const { level: least = 'info', json = false, write = (line: string) => void process.stderr.write(line) } = options;
  const format = json ? jsonLine : textLine;
  const at = (level: LogLevel) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(least)) return () => {};
    return (event: string, fields: LogFields = {}) => write(format(new Date().toISOString(), level, event, fields));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function jsonLine(time: string, level: LogLevel, event: string, fields: LogFields): string {
  return `${JSON.stringify({ time, level, event, ...fields })}\n`;
}

function textLine(time: string, level: LogLevel, event: string, fields: LogFields): string {
  let line = `${time} ${level.padEnd(5)} ${event}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${typeof value === 'string' ? word(value) : value}`;
  }
  return `${line}\n`;
}

/** Quotes what would be read as something else: a value from the wire can neither end the line, nor add a field, nor steer a terminal. */
function word(value: string): string {
  if (/^[^\s"=\p{Cc}]+$/u.test(value)) return value;
  return JSON.stringify(value).replace(/[\p{Cc}\u2028\u2029]/gu, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
