import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { topWords, wordcount } from '../examples/wordcount/wordcount.ts';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { Fault } from '../sdk/index.ts';
import { connectClient, startCluster } from './cluster.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** The project's own documents and sources; its tests are as many again. */
export function ownFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter(
      (path) =>
        /\.(md|ts)$/.test(path) && !/(^|\/)(node_modules|build|\.git|test)\//.test(path) && !path.endsWith('.d.ts'),
    )
    .sort();
}

const USAGE_EXIT = 2;

/** `npm run quickstart`: one machine's cluster, a real job on it, and then it stays up until Ctrl-C, or ends if `exits`. */
async function quickstart(files: readonly string[], exits: boolean): Promise<number> {
  const cluster = await startCluster(join(ROOT, 'build/cli/main.js'));
  const interrupted = once(process, 'SIGINT');
  const { client, close } = await connectClient(cluster.url);
  console.log(`A master and two agents run. Counting the words of ${files.length} files, one task a file:`);
  const result = await wordcount(client, `w${randomWord(systemRandom, 7)}`, ROOT, files, ({ file, words, agent }) => {
    console.log(`  ${agent}  ${String(words).padStart(6)} words  ${file}`);
  });
  await close();
  if (result instanceof Fault) console.error(`error: ${result.message}\n  ${result.hint}`);
  else {
    console.log(`\n${result.finished} of ${files.length} tasks finished. The most frequent words:`);
    for (const [word, count] of topWords(result.counts, 10)) console.log(`  ${String(count).padStart(6)}  ${word}`);
  }
  const good = !(result instanceof Fault) && result.finished === files.length;
  if (!exits) {
    console.log(
      `\n${cluster.said.trim()}\n\nIt stays up until Ctrl-C. In another terminal:\n  export MESQ_URL=${cluster.url}\n  node build/cli/main.js run -- echo hello`,
    );
    await interrupted;
  }
  await cluster.stop();
  return good ? 0 : 1;
}

/** The files that are asked for, and whether it ends by itself; or why not. */
export function quickstartOptions(argv: readonly string[], own: readonly string[]) {
  const [folder, ...more] = argv.filter((word) => word !== '--exit');
  const unknown = folder?.startsWith('-') ? folder : more[0];
  if (unknown !== undefined) return `the quick start does not know ${unknown}`;
  const below = normalize(`${folder ?? '.'}/`).replace(/^\.\//, '');
  const files = own.filter((file) => file.startsWith(below));
  if (files.length === 0) return `${folder} is no folder of the project with documents or sources in it`;
  return { files, exits: argv.includes('--exit') };
}

if (process.argv[1]?.endsWith('tools/quickstart.js')) {
  const options = quickstartOptions(process.argv.slice(2), ownFiles(ROOT));
  if (typeof options !== 'string') process.exitCode = await quickstart(options.files, options.exits);
  else {
    console.error(
      `error: ${options}\n  Write npm run quickstart, or npm run quickstart -- --exit, with a folder behind it (docs) to count only what is there.`,
    );
    process.exitCode = USAGE_EXIT;
  }
}
