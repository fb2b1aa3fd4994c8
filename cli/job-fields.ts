import { isMap, isScalar, isSeq, type Node } from 'yaml';
import { closest } from './closest.ts';

/** Names below a field: of a map what each holds, of a list what each entry holds; `true` holds no names of ours. */
type Names = true | { readonly [name: string]: Names };

const WHERE = { port: true, portIndex: true } as const;

/** What the maps of a job file may hold (docs/jobs.md); their values are read elsewhere. */
const BELOW: Readonly<Record<string, Names>> = {
  healthCheck: {
    ...{ command: true, http: { ...WHERE, scheme: true, path: true }, tcp: WHERE },
    ...{ delay: true, interval: true, timeout: true, grace: true, failures: true },
  },
  disconnect: { lost_after: true, stop_on_client_after: true, replace: true, reconcile: true },
  container: {
    ...{ image: true, pull: true, workdir: true, user: true, network: true },
    ports: { container: true, host: true },
    volumes: { host: true, volume: true, path: true, readOnly: true },
  },
  artifacts: { uri: true, path: true, extract: true, executable: true, cache: true, sha256: true },
};

/** A name that stands where it means nothing. */
export interface UnknownField {
  readonly key: Node;
  readonly message: string;
  readonly hint: string;
}

/** The first unknown name below a field, which would else be passed over in silence. */
export function unknownBelow(field: string, node: Node): UnknownField | undefined {
  return Object.hasOwn(BELOW, field) ? search(field, node, BELOW[field] ?? true) : undefined;
}

function search(path: string, node: unknown, names: Names): UnknownField | undefined {
  if (names === true) return undefined;
  if (isSeq(node)) {
    for (const [at, item] of node.items.entries()) {
      const found = search(`${path}.${at}`, item, names);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (!isMap(node)) return undefined;
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : '';
    const below = Object.hasOwn(names, name) ? names[name] : undefined;
    if (below === undefined) {
      const { message, hint } = unknownName(name, Object.keys(names));
      return { key: key as Node, message: `${path}: ${message}`, hint };
    }
    const found = search(`${path}.${name}`, value, below);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** That there is no such field, and which may have been meant. */
export function unknownName(
  name: string,
  known: readonly string[],
): { readonly message: string; readonly hint: string } {
  const meant = closest(name, known);
  const hint = meant === undefined ? `Take one of ${known.join(', ')}.` : `Did you mean ${meant}?`;
  return { message: `there is no field ${JSON.stringify(name)}`, hint };
}

/** The node that a message such as `artifacts.0: uri: …` is about, as far down as its path leads in the file. */
export function nodeOf(contents: unknown, message: string): Node | undefined {
  let node = contents;
  let found: Node | undefined;
  for (const part of message.split(': ')) {
    for (const name of part.split('.')) {
      const next = below(node, name);
      if (next === undefined) return found;
      found = next;
      node = next;
    }
  }
  return found;
}

/** What a name or a number leads to; its key where it holds nothing. */
function below(node: unknown, name: string): Node | undefined {
  if (isSeq(node)) return node.items[Number(name)] as Node | undefined;
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === name);
  return pair === undefined ? undefined : ((pair.value ?? pair.key) as Node);
}
