import { Artifact, Artifacts } from '../protocol/artifact.ts';
import { artifactContradiction } from '../protocol/artifact-place.ts';
import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { closest } from './closest.ts';

const FLAGS = ['extract', 'executable'] as const;
const OPTIONS = ['path', 'extract', 'executable', 'cache', 'sha256'];
/** What else people call them. */
const OTHERWISE: Readonly<Record<string, string>> = {
  ...{ checksum: 'sha256', sha: 'sha256', 'sha-256': 'sha256', sum: 'sha256', digest: 'sha256', md5: 'sha256' },
  ...{ name: 'path', dest: 'path', to: 'path', as: 'path', unpack: 'extract', untar: 'extract', unzip: 'extract' },
  ...{ exec: 'executable', exe: 'executable', cached: 'cache' },
};
const EXAMPLE = 'Write it like https://host/model.tar.gz,path=model,extract or http://host/tool,executable,sha256=….';

/**
 * What tasks fetch before they start, as people write it: each a text, `URI[,path=NAME][,extract][,executable][,cache]
 * [,sha256=HEX]`, or a map of the same names. Faults: BAD_JOB.
 */
export function artifactsOf(written: readonly unknown[]): Artifact[] | Fault {
  const artifacts: unknown[] = [];
  for (const [index, one] of written.entries()) {
    const fields = typeof one === 'string' ? fieldsOf(one) : one;
    if (fields instanceof Fault) return new Fault('BAD_JOB', `artifacts.${index}: ${fields.message}`, fields.hint);
    const made = check(Artifact, fields);
    if (made instanceof Fault) return new Fault('BAD_JOB', `artifacts.${index}: ${made.message}`, EXAMPLE);
    artifacts.push(made);
  }
  const made = check(Artifacts, artifacts);
  if (made instanceof Fault) return new Fault('BAD_JOB', `artifacts: ${made.message}`);
  const wrong = artifactContradiction(made);
  return wrong === undefined ? made : new Fault('BAD_JOB', wrong, EXAMPLE);
}

/** From the end, for a URI may have commas in it. */
function fieldsOf(text: string): Record<string, unknown> | Fault {
  const parts = text.split(',');
  const fields: Record<string, unknown> = {};
  while (parts.length > 1) {
    const last = parts.at(-1) ?? '';
    const [, name, value] = /^(path|sha256)=(.*)$/.exec(last) ?? [];
    if (name !== undefined) fields[name] = value;
    else if (last === 'cache' || FLAGS.some((flag) => flag === last)) fields[last] = true;
    else {
      const slip = slipIn(last, parts.slice(0, -1).join(','));
      if (slip !== undefined) return slip;
      break;
    }
    parts.pop();
  }
  return { ...fields, uri: parts.join(',') };
}

/** What is behind a comma is the URI's own unless it looks like an option: `name=…`, or nearly the name of one. */
function slipIn(part: string, before: string): Fault | undefined {
  const [, name = '', value] = /^([A-Za-z][\w-]*)(=.*)?$/.exec(part) ?? [];
  if (name === '') return undefined;
  const word = name.toLowerCase();
  const nearly = closest(word, [...OPTIONS, ...Object.keys(OTHERWISE).filter((other) => other.length > 4)]);
  const meant = OTHERWISE[word] ?? (nearly === undefined ? undefined : (OTHERWISE[nearly] ?? nearly));
  // A query may well have commas and equals signs in it.
  if (meant === undefined && (value === undefined || before.includes('?'))) return undefined;
  const takes = meant === 'path' || meant === 'sha256';
  const hint =
    meant === undefined ? `Take one of ${OPTIONS.join(', ')}.` : `Did you mean ${meant}${takes ? '=…' : ''}?`;
  return new Fault(
    'BAD_JOB',
    `there is no option ${JSON.stringify(name)}`,
    `${hint} A comma of the address itself is written %2C.`,
  );
}
