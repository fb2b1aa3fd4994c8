import * as v from 'valibot';
import type { Artifact } from '../../protocol/artifact.ts';
import type { KeptFile } from './evictions.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Name = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

/** As it is on the disk. A file's name is the SHA-256 of its content. */
const Written = v.object({
  v: v.literal(1),
  files: v.array(v.object({ name: Name, bytes: Count, used: Count, shared: v.boolean() })),
  uris: v.array(v.object({ uri: v.string(), version: v.optional(v.string()), name: Name })),
  runs: v.array(v.object({ run: v.string(), names: v.array(v.nullable(Name)) })),
});

interface Kept {
  readonly bytes: number;
  used: number;
  /** For other tasks than those that wait for it. */
  shared: boolean;
}

/** Whether other tasks may have what one has fetched: where it is told by what it holds, unless the job says otherwise. */
export function isShared({ uri, sha256, cache }: Artifact): boolean {
  return cache ?? (sha256 !== undefined || isFixed(uri));
}

/** Under such a URI there is one content for ever. */
function isFixed(uri: string): boolean {
  return uri.startsWith('blob:');
}

/**
 * Which files are kept, where they came from, and which run has which: a run has the same content at each of its restarts.
 * Changed through its verbs alone.
 */
export class CacheIndex {
  readonly #files = new Map<string, Kept>();
  readonly #uris = new Map<string, { readonly version: string | undefined; readonly name: string }>();
  readonly #runs = new Map<string, (string | null)[]>();
  #clock = 0;

  /** Undefined where that is no index. */
  static parse(text: string): CacheIndex | undefined {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return undefined;
    }
    const read = v.safeParse(Written, json);
    if (!read.success) return undefined;
    const index = new CacheIndex();
    for (const { name, bytes, used, shared } of read.output.files) {
      index.#files.set(name, { bytes, used, shared });
      index.#clock = Math.max(index.#clock, used);
    }
    for (const { uri, version, name } of read.output.uris) index.#uris.set(uri, { version, name });
    for (const { run, names } of read.output.runs) index.#runs.set(run, names);
    return index;
  }

  format(): string {
    return JSON.stringify({
      v: 1,
      files: [...this.#files].map(([name, file]) => ({ name, ...file })),
      uris: [...this.#uris].map(([uri, { version, name }]) => ({ uri, version, name })),
      runs: [...this.#runs].map(([run, names]) => ({ run, names })),
    } satisfies v.InferInput<typeof Written>);
  }

  get files(): KeptFile[] {
    return [...this.#files].map(([name, { bytes, used }]) => ({ name, bytes, used }));
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  /** The file that serves, without asking anybody: the run had it before, or its content is known. `at`: which artifact of the run. */
  find(run: string, at: number, artifact: Artifact): string | undefined {
    const before = this.#runs.get(run)?.[at] ?? undefined;
    const name = before ?? this.#known(artifact);
    return name !== undefined && this.#files.has(name) ? name : undefined;
  }

  #known({ uri, sha256 }: Artifact): string | undefined {
    return sha256 ?? (isFixed(uri) ? this.#uris.get(uri)?.name : undefined);
  }

  /** The file that serves if its source still tells the same version. */
  candidate({ uri, cache }: Artifact): { readonly version: string; readonly name: string } | undefined {
    const known = cache === true ? this.#uris.get(uri) : undefined;
    if (known?.version === undefined || !this.#files.has(known.name)) return undefined;
    return { version: known.version, name: known.name };
  }

  add(name: string, bytes: number, uri: string, version: string | undefined): void {
    if (!this.#files.has(name)) this.#files.set(name, { bytes, used: ++this.#clock, shared: false });
    this.#uris.set(uri, { version, name });
  }

  /** The run has it from now on, and has it again at each restart. */
  take(run: string, at: number, name: string, shared: boolean): void {
    const names = this.#runs.get(run) ?? [];
    while (names.length <= at) names.push(null);
    names[at] = name;
    this.#runs.set(run, names);
    const file = this.#files.get(name);
    if (file === undefined) return;
    file.used = ++this.#clock;
    file.shared ||= shared;
  }

  /** The run needs nothing any more. Returns the files that nobody has, nor may have later: to be removed. */
  release(run: string): string[] {
    const names = this.#runs.get(run) ?? [];
    this.#runs.delete(run);
    const held = this.held();
    return [...new Set(names)].filter(
      (name): name is string => name !== null && !held.has(name) && this.#files.get(name)?.shared === false,
    );
  }

  /** Runs that have files. */
  get runs(): string[] {
    return [...this.#runs.keys()];
  }

  /** What runs have. */
  held(): Set<string> {
    return new Set([...this.#runs.values()].flat().filter((name) => name !== null));
  }

  forget(name: string): void {
    this.#files.delete(name);
    for (const [uri, known] of this.#uris) if (known.name === name) this.#uris.delete(uri);
  }
}
