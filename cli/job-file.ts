import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml';
import { Fault } from '../protocol/faults.ts';
import type { JobSpec } from '../protocol/job.ts';
import { nodeOf, unknownBelow, unknownName } from './job-fields.ts';
import { jobSpecOf, type WrittenJob } from './needs.ts';
import { type WrittenUpload, writtenUpload } from './uploads.ts';
import { yamlWords } from './yaml-words.ts';

/** Every field of a job file, and what it may hold (docs/jobs.md). */
const FIELDS = {
  name: 'text',
  command: 'command',
  count: 'text',
  cpus: 'text',
  mem: 'text',
  limitCpus: 'text',
  limitMem: 'text',
  disk: 'text',
  gpus: 'text',
  accelerators: 'text',
  ports: 'text',
  constraints: 'list',
  env: 'map',
  restart: 'text',
  retries: 'text',
  time: 'text',
  grace: 'text',
  requeue: 'flag',
  labels: 'map',
  healthCheck: 'check',
  disconnect: 'check',
  container: 'check',
  artifacts: 'items',
  upload: 'text',
  files: 'list',
} as const;

/** What a map of each kind looks like. */
const MAPS: Readonly<Partial<Record<string, string>>> = {
  healthCheck: '{http: {port: 8080, path: /health}}',
  disconnect: '{lost_after: 6h, replace: true}',
  container: '{image: docker.io/library/busybox:1.37}',
};

type FieldName = keyof typeof FIELDS;

/** A value that says what is wrong with the file, and where. */
class Problem {
  readonly at: number;
  readonly message: string;
  readonly hint: string | undefined;

  constructor(node: Node | number | null | undefined, message: string, hint?: string) {
    this.at = typeof node === 'number' ? node : (node?.range?.[0] ?? 0);
    this.message = message;
    this.hint = hint;
  }
}

/**
 * Reads a job from YAML, or JSON, which is a part of it. Faults: BAD_JOB, or the field's own, as
 * `FILE:line:column: what is wrong`. Unknown fields are wrong too.
 */
export async function readJobFile(job: string, text: string, file: string): Promise<JobSpec | Fault> {
  const lines = new LineCounter();
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`;
  };
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, merge: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const { message, hint } = yamlWords(error.code, error.message);
    return new Fault('BAD_JOB', `${at(error.pos[0])}: ${message}`, hint);
  }
  const written = readFields(document.contents);
  if (written instanceof Problem) return new Fault('BAD_JOB', `${at(written.at)}: ${written.message}`, written.hint);
  const spec = await jobSpecOf(job, written);
  if (!('fault' in spec)) return spec;
  const field = fileField(spec.field);
  const { code, message, hint } = spec.fault;
  const told = message.replace(new RegExp(`^${spec.field}(?=[.:])`), field);
  const named = /^[.:]/.test(told.slice(field.length)) && told.startsWith(field) ? told : `${field}: ${told}`;
  const place = nodeOf(document.contents, named)?.range?.[0] ?? 0;
  return new Fault(code, `${at(place)}: ${named}`, hint);
}

/** What the job file, read already, wants to be uploaded; paths are relative to the file. */
export function uploadsOfJobFile(text: string, file: string): WrittenUpload[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const { upload, files = [] } = (document.toJS() ?? {}) as { upload?: unknown; files?: readonly unknown[] };
  const folder = file.slice(0, file.lastIndexOf('/') + 1);
  const near = (kind: WrittenUpload['kind'], written: unknown, path: readonly unknown[]): WrittenUpload => {
    const node = document.getIn(path, true) as Node | undefined;
    const { line, col } = lines.linePos(node?.range?.[0] ?? 0);
    const where = `${file === '' ? 'standard input' : file}:${line}:${col}`;
    const one = { ...writtenUpload(kind, String(written)), where };
    return one.path.startsWith('/') ? one : { ...one, path: `${folder}${one.path}` };
  };
  return [
    ...(upload === undefined ? [] : [near('folder', upload, ['upload'])]),
    ...files.map((written, at) => near('file', written, ['files', at])),
  ];
}

/** A job's field as the file calls it. */
function fileField(field: keyof WrittenJob): FieldName {
  return field === 'argv' ? 'command' : field === 'environment' ? 'env' : field;
}

function readFields(contents: Node | null): WrittenJob | Problem {
  if (!isMap(contents))
    return new Problem(contents, 'a job is a map of fields', 'Begin it like command: [echo, hello].');
  const job: Record<string, unknown> = {};
  for (const { key, value } of contents.items) {
    const keyNode = key as Node;
    const name = isScalar(keyNode) ? String(keyNode.value) : '';
    if (!isField(name)) {
      const { message, hint } = unknownName(name, Object.keys(FIELDS));
      return new Problem(keyNode, message, hint);
    }
    const node = value as Node | null;
    if (node === null || (isScalar(node) && node.value === null)) return new Problem(keyNode, `${name} is empty`);
    const unknown = unknownBelow(name, node);
    if (unknown !== undefined) return new Problem(unknown.key, unknown.message, unknown.hint);
    const read = readValue(name, node);
    if (read instanceof Problem) return read;
    job[name] = read;
  }
  // What is uploaded is read from the file by itself: its name is known only afterwards.
  const { command, env, upload: _, files: _files, ...rest } = job;
  if (command === undefined && rest['container'] === undefined)
    return new Problem(contents, 'command is missing', 'Add it like command: [echo, hello].');
  if (Array.isArray(command) && command.length === 0 && rest['container'] === undefined)
    return new Problem(contents.get('command', true), 'command is empty', 'Write it like command: [echo, hello].');
  return { ...rest, argv: command ?? [], ...(env === undefined ? {} : { environment: env }) } as WrittenJob;
}

function readValue(
  name: FieldName,
  node: Node,
): string | boolean | unknown[] | Record<string, string> | Record<string, unknown> | Problem {
  switch (FIELDS[name]) {
    case 'text':
      return scalarText(name, node);
    case 'flag':
      return isScalar(node) && typeof node.value === 'boolean'
        ? node.value
        : new Problem(node, `${name} is true or false`);
    case 'list':
      return readList(name, node);
    case 'map':
      return readMap(name, node);
    case 'items':
      return isSeq(node)
        ? (node.toJSON() as unknown[])
        : new Problem(node, `${name} is a list`, 'Write it like artifacts: [{uri: https://host/model.bin}].');
    case 'check':
      return isMap(node)
        ? (node.toJSON() as Record<string, unknown>)
        : new Problem(node, `${name} is a map`, `Write it like ${name}: ${MAPS[name]}.`);
    case 'command':
      // As in a shell script's line; a list is never seen by a shell.
      return isScalar(node) && typeof node.value === 'string' ? ['sh', '-c', node.value] : readList(name, node);
  }
}

/** Text, or a number as it was written: `1.50` stays `1.50`. */
function scalarText(name: string, node: Node): string | Problem {
  if (!isScalar(node)) return new Problem(node, `${name} is one value`);
  const { value, source } = node as Scalar & { source?: string };
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return source ?? String(value);
  return new Problem(node, `${name} is one value`);
}

function readList(name: string, node: Node): string[] | Problem {
  if (!isSeq(node)) return new Problem(node, `${name} is a list`, `Write it like ${name}: [one, two].`);
  const texts: string[] = [];
  for (const item of node.items) {
    const text = scalarText(`each of ${name}`, item as Node);
    if (text instanceof Problem) return text;
    texts.push(text);
  }
  return texts;
}

function readMap(name: string, node: Node): Record<string, string> | Problem {
  if (!isMap(node)) return new Problem(node, `${name} is a map`, `Write it like ${name}: {LEVEL: 3}.`);
  const values: Record<string, string> = {};
  for (const { key, value } of node.items) {
    const keyText = scalarText(`each name of ${name}`, key as Node);
    if (keyText instanceof Problem) return keyText;
    const text = scalarText(`${name}.${keyText}`, (value ?? key) as Node);
    if (text instanceof Problem) return text;
    values[keyText] = text;
  }
  return values;
}

function isField(name: string): name is FieldName {
  return Object.hasOwn(FIELDS, name);
}
