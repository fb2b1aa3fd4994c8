import { type Client, Fault, parseResources } from '../../sdk/index.ts';

const MOST_TEXT = 8_000;

/** What came of counting: how often each word stands in all files, and how the tasks ended. */
export interface WordCount {
  readonly counts: ReadonlyMap<string, number>;
  readonly finished: number;
  readonly failed: number;
}

/** One file's task has ended and its output was read. */
export interface FileCounted {
  readonly file: string;
  readonly words: number;
  readonly agent: string;
}

/**
 * Counts the words of `files` (paths below `folder`, which the agents can read; no line breaks) as one job: an array task a file. Reads
 * every task's output through the cluster and merges it.
 */
export async function wordcount(
  client: Client,
  job: string,
  folder: string,
  files: readonly string[],
  told: (one: FileCounted) => void,
): Promise<WordCount | Fault> {
  const needs = parseResources('cpus:0.1;mem:16');
  if (needs instanceof Fault) return needs;
  const argv = ['sh', `${folder}/examples/wordcount/count.sh`, folder, ...lists(files)];
  const submitted = await client.request(
    'submit',
    { job, name: 'wordcount', argv, count: files.length, resources: [...needs] },
    { framework: 'batch' },
  );
  if (submitted instanceof Fault) return submitted;
  const counts = new Map<string, number>();
  const read = new Set<number>();
  let ended = { finished: 0, failed: 0 };
  for await (const part of client.watch(job, { framework: 'batch' })) {
    if (part instanceof Fault) return part;
    ended = part.job.tasks;
    for (const { index, state, agent } of part.changed) {
      if (state !== 'TASK_FINISHED' || read.has(index)) continue;
      read.add(index);
      const text = await outputOf(client, `${job}.${index}`);
      if (text instanceof Fault) return text;
      told({ file: files[index] ?? '', words: merge(counts, text), agent: agent ?? '' });
    }
  }
  return { counts, finished: ended.finished, failed: ended.failed };
}

/** A name a line, in texts of some thousand characters: arguments have a limit each, and so has their number. */
function lists(files: readonly string[]): string[] {
  const texts: string[] = [];
  for (const file of files) {
    const last = texts.at(-1);
    if (last === undefined || last.length + file.length > MOST_TEXT) texts.push(file);
    else texts[texts.length - 1] = `${last}\n${file}`;
  }
  return texts;
}

async function outputOf(client: Client, task: string): Promise<string | Fault> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of client.readOutput({ framework: 'batch', task, stream: 'stdout' })) {
    if (piece instanceof Fault) return piece;
    text += decoder.decode(piece.bytes, { stream: true });
  }
  return text;
}

/** Adds the lines `count word`; returns how many words that was. */
function merge(counts: Map<string, number>, lines: string): number {
  let words = 0;
  for (const line of lines.split('\n')) {
    const [count, word] = line.split(' ');
    if (word === undefined) continue;
    counts.set(word, (counts.get(word) ?? 0) + Number(count));
    words += Number(count);
  }
  return words;
}

/** The most frequent words, the most frequent first. */
export function topWords(counts: ReadonlyMap<string, number>, most: number): [string, number][] {
  return [...counts].sort(([left, some], [right, more]) => more - some || (left < right ? -1 : 1)).slice(0, most);
}
