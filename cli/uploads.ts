import type { Artifact } from '../protocol/artifact.ts';
import { blobUri } from '../protocol/blob.ts';
import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { JobSpec, type JobUpload } from '../protocol/job.ts';
import { LIMITS } from '../protocol/limits.ts';
import { SandboxPath } from '../protocol/sandbox-path.ts';
import { shownSize } from '../protocol/size.ts';
import type { Client, UploadProgress } from '../sdk/index.ts';
import { notice } from './output.ts';
import type { ReadUpload } from './terminal.ts';
import type { Context } from './verb.ts';

/** `--upload DIR[:PATH]` or `--file F[:PATH]`, as it was written. */
export interface WrittenUpload {
  readonly kind: 'file' | 'folder';
  readonly path: string;
  /** In the sandbox. Default: of a folder the sandbox itself, of a file its own name. */
  readonly into: string | undefined;
  /** `FILE:line:column` of the job file that has it; absent on the command line. */
  readonly where?: string;
}

/** Two blocks of nothing: the end of every archive (POSIX pax, ustar). */
const EMPTY_TAR_BYTES = 1_024;

/** One that was read, and has its name. */
interface Prepared extends WrittenUpload {
  readonly upload: ReadUpload;
}

/** What is behind the last colon is the place in the sandbox. */
export function writtenUpload(kind: WrittenUpload['kind'], text: string): WrittenUpload {
  const colon = text.lastIndexOf(':');
  return colon < 1
    ? { kind, path: text, into: undefined }
    : { kind, path: text.slice(0, colon), into: text.slice(colon + 1) };
}

/** Reads all of them, before anybody is asked anything. Faults: BAD_USAGE, TOO_LARGE, CONFLICT. */
export async function prepareUploads(
  { terminal }: Context,
  written: readonly WrittenUpload[],
): Promise<readonly Prepared[] | Fault> {
  const prepared: Prepared[] = [];
  for (const one of written) {
    const upload = placeFault(one) ?? (await terminal.readUpload(one.path, one.kind));
    if (upload instanceof Fault) return placed(upload, one);
    if (one.kind === 'folder' && upload.manifest.size <= EMPTY_TAR_BYTES)
      return placed(new Fault('BAD_USAGE', `--upload ${one.path}: there is nothing in it`, '.git is left out.'), one);
    prepared.push({ ...one, upload });
  }
  return prepared;
}

function placed({ code, message, hint }: Fault, { where }: WrittenUpload): Fault {
  return new Fault(code, where === undefined ? message : `${where}: ${message}`, hint);
}

/** What is wrong with its place in the sandbox: known before anything is read or sent. */
function placeFault({ kind, path, into }: WrittenUpload): Fault | undefined {
  if (into === undefined) return undefined;
  const place = check(SandboxPath, into);
  if (into !== '' && !(place instanceof Fault)) return undefined;
  const why = into === '' ? 'names no place behind the colon' : (place as Fault).message.replace(/^the message: /, '');
  return new Fault('BAD_USAGE', `--${kind === 'folder' ? 'upload' : 'file'} ${path}:${into}: ${why}`);
}

/** Uploads them, one after another, and gives what tasks name them by. What was new of it is said on standard error. */
async function sendUploads(
  context: Context,
  client: Client,
  prepared: readonly Prepared[],
): Promise<Artifact[] | Fault> {
  const artifacts: Artifact[] = [];
  for (const one of prepared) {
    const { upload, path } = one;
    const line = new Line(context, path);
    const sent = await client.upload(upload, { onProgress: (progress) => line.draw(progress) });
    await line.clear();
    if (sent instanceof Fault) return new Fault(sent.code, `${path}: ${sent.message}`, sent.hint);
    await notice(context, `uploaded ${path}: ${summaryOf(upload, sent)}`);
    artifacts.push(artifactOf(one));
  }
  return artifacts;
}

/** The job with what was uploaded for it. */
export async function withUploads(
  context: Context,
  client: Client,
  spec: JobSpec,
  prepared: readonly Prepared[],
): Promise<JobSpec | Fault> {
  if (prepared.length === 0) return spec;
  const sent = await sendUploads(context, client, prepared);
  if (sent instanceof Fault) return sent;
  const before = spec.artifacts ?? [];
  const uploads = prepared.map(({ path, upload }, at): JobUpload => {
    const { files, manifest } = upload;
    return { artifact: before.length + at, from: path.slice(0, LIMITS.pathLength), files, size: manifest.size };
  });
  const whole = check(JobSpec, { ...spec, artifacts: [...before, ...sent], uploads });
  return whole instanceof Fault ? new Fault('BAD_JOB', whole.message) : whole;
}

function artifactOf({ kind, path, into, upload }: Prepared): Artifact {
  const uri = blobUri(upload.manifest.blob);
  if (kind === 'folder')
    return { uri, ...(into === undefined ? {} : { path: into }), extract: true, executable: false };
  const name = path.slice(path.lastIndexOf('/') + 1);
  return { uri, path: into ?? name, extract: false, executable: upload.executable };
}

/** `5.1 MB in 110 files, 0.1 MB of it new; .git left out`. */
function summaryOf({ files, skipped }: ReadUpload, { size, sent }: UploadProgress): string {
  const news = sent === 0 ? 'all of it there already' : `${shownSize(Math.min(sent, size))} of it new`;
  return `${contentOf(size, files)}, ${news}${skipped > 0 ? '; .git left out' : ''}`;
}

/** `5.1 MB in 110 files` */
export function contentOf(size: number, files: number): string {
  return `${shownSize(size)} in ${files === 1 ? '1 file' : `${files} files`}`;
}

/** How far it is: a line that is drawn anew, where a person may be looking. */
class Line {
  readonly #context: Context;
  readonly #path: string;
  #drawn = '';

  constructor(context: Context, path: string) {
    this.#context = context;
    this.#path = path;
  }

  draw({ size, done, sent }: UploadProgress): void {
    const { terminal, options } = this.#context;
    const { error } = terminal;
    if (options.quiet || !error.isTerminal) return;
    const line = `uploading ${this.#path}: ${shownSize(Math.min(size, Math.max(done, sent)))} of ${shownSize(size)}`;
    if (line === this.#drawn) return;
    this.#drawn = line;
    void error.write(`\r\u001b[K${line.slice(0, (error.columns ?? 80) - 1)}`);
  }

  async clear(): Promise<void> {
    if (this.#drawn !== '') await this.#context.terminal.error.write('\r\u001b[K');
  }
}
