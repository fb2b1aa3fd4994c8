import { Artifact, Artifacts } from '../protocol/artifact.ts';
import { artifactContradiction } from '../protocol/artifact-place.ts';
import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';

const FLAGS = ['extract', 'executable'] as const;
const KNOWN = ['uri', 'path', 'extract', 'executable', 'cache', 'sha256'];
const EXAMPLE = 'Write it like https://host/model.tar.gz,path=model,extract or http://host/tool,executable,sha256=….';

/**
 * What tasks fetch before they start, as people write it: each a text, `URI[,path=NAME][,extract][,executable][,cache]
 * [,sha256=HEX]`, or a map of the same names. Faults: BAD_JOB.
 */
export function artifactsOf(written: readonly unknown[]): Artifact[] | Fault {
  const artifacts: unknown[] = [];
  for (const [index, one] of written.entries()) {
    const fields = typeof one === 'string' ? fieldsOf(one) : one;
    const unknown = Object.keys(fields ?? {}).find((name) => !KNOWN.includes(name));
    if (unknown !== undefined)
      return new Fault(
        'BAD_JOB',
        `artifacts.${index}: there is no field ${unknown}`,
        `Take one of ${KNOWN.join(', ')}.`,
      );
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
function fieldsOf(text: string): Record<string, unknown> {
  const parts = text.split(',');
  const fields: Record<string, unknown> = {};
  while (parts.length > 1) {
    const last = parts.at(-1) ?? '';
    const [, name, value] = /^(path|sha256)=(.*)$/.exec(last) ?? [];
    if (name !== undefined) fields[name] = value;
    else if (last === 'cache' || FLAGS.some((flag) => flag === last)) fields[last] = true;
    else break;
    parts.pop();
  }
  return { ...fields, uri: parts.join(',') };
}
