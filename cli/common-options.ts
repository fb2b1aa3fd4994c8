import { parseDuration } from '../protocol/duration.ts';
import { Fault } from '../protocol/faults.ts';
import { parseId } from '../protocol/ids.ts';
import type { Terminal } from './terminal.ts';
import type { CommonOptions } from './verb.ts';

/** As they were written on the command line. */
export interface WrittenOptions {
  readonly url?: readonly string[];
  readonly prefix?: string;
  readonly token?: string;
  readonly ca?: string;
  readonly timeout?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Which cluster is meant where nothing else says so: `{url, token?, ca?}` in a file of the user. */
export interface CurrentContext {
  readonly url?: string;
  readonly token?: string;
  readonly ca?: string;
}

const DEFAULT_URL = 'mqtt://127.0.0.1:1883';
/** First level of every topic where nobody names another. */
export const DEFAULT_PREFIX = 'mesq';
const DEFAULT_TIMEOUT = '10s';

/** Where {@link CurrentContext} is kept (XDG base directories); undefined without a home. */
export function contextFile({ environment }: Pick<Terminal, 'environment'>): string | undefined {
  const home = environment['HOME'];
  const folder = environment['XDG_CONFIG_HOME'] || (home ? `${home}/.config` : undefined);
  return folder === undefined ? undefined : `${folder}/mesq/context.json`;
}

/** Reads what every verb takes: the command line, else the environment, else the current context, else the default. */
export async function readCommonOptions(written: WrittenOptions, terminal: Terminal): Promise<CommonOptions | Fault> {
  const timeoutMs = parseDuration(written.timeout ?? DEFAULT_TIMEOUT);
  if (timeoutMs instanceof Fault) return new Fault(timeoutMs.code, `--timeout: ${timeoutMs.message}`, timeoutMs.hint);
  if (timeoutMs === 0)
    return new Fault('BAD_USAGE', '--timeout 0 leaves no time for an answer', 'Write --timeout 10s.');
  const { environment } = terminal;
  const named = written.url?.flatMap((text) => text.split(',')) ?? environment['MESQ_URL']?.split(',');
  const current = named === undefined ? await readContext(terminal) : {};
  if (current instanceof Fault) return current;
  const urls = (named ?? (current.url ?? DEFAULT_URL).split(',')).map((url) => url.trim()).filter((url) => url !== '');
  if (urls.length === 0) return new Fault('BAD_USAGE', 'no URL is given', 'Write it like --url mqtt://host:1883.');
  const prefix = written.prefix ?? environment['MESQ_PREFIX'] ?? DEFAULT_PREFIX;
  if (!/^[^/+#\p{Cc}]+$/u.test(prefix))
    return new Fault(
      'BAD_USAGE',
      `--prefix: ${JSON.stringify(prefix)} is not the first level of a topic`,
      'Leave it out, or name the word that the masters were started with: no / + # in it.',
    );
  const token = written.token ?? environment['MESQ_TOKEN'] ?? current.token;
  if (token !== undefined && !token.includes(':'))
    return new Fault(
      'BAD_USAGE',
      'the token is not NAME:SECRET',
      'Pass all of what mesq token create printed, with --token or MESQ_TOKEN.',
    );
  const name = parseId(
    nameOf(token) ?? idOf(terminal.user),
    token === undefined ? 'the name of the user' : 'the name in the token',
  );
  if (name instanceof Fault) return name;
  return {
    urls,
    prefix,
    name,
    token,
    ca: written.ca ?? current.ca,
    json: written.json ?? false,
    quiet: written.quiet ?? false,
    timeoutMs,
  };
}

async function readContext(terminal: Terminal): Promise<CurrentContext | Fault> {
  const path = contextFile(terminal);
  const text = path === undefined ? undefined : await terminal.readText(path);
  if (text === undefined || text instanceof Fault) return text ?? {};
  const bad = (problem: string): Fault =>
    new Fault('BAD_USAGE', `${path}: ${problem}`, 'Remove the file, or pass --url.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad('not JSON');
  }
  if (typeof value !== 'object' || value === null) return bad('not a JSON object');
  for (const key of ['url', 'token', 'ca']) {
    const field: unknown = (value as Record<string, unknown>)[key];
    if (field !== undefined && typeof field !== 'string') return bad(`${key} is no text`);
  }
  return value;
}

/** A token is `name:secret`. */
export function nameOf(token: string | undefined): string | undefined {
  const colon = token?.indexOf(':') ?? -1;
  return colon < 0 ? undefined : token?.slice(0, colon);
}

/** The token's other half. */
export function secretOf(token: string): string {
  return token.slice(token.indexOf(':') + 1);
}

/** Any user's name as an id: what is not allowed becomes `-`. */
function idOf(text: string): string {
  const id = text
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return id === '' ? 'user' : id;
}
