import { runCommandLine } from '../cli/program.ts';
import type { Sink, Terminal } from '../cli/terminal.ts';
import { VERBS } from '../cli/verbs.ts';

const HEAD = `# The command line

After \`npm run build\`, \`node build/cli/main.js\` is \`mesq\`; \`npm install -g .\` puts it on the path. What the command line
is told nowhere else it takes from \`MESQ_URL\` and \`MESQ_TOKEN\`, and from the cluster that \`mesq up\` started last on this
machine. Durations are \`250ms 5s 10m 2h\`; memory and disk are MB, or take \`K M G\` (binary).

\`--json\` prints one JSON value to standard output and nothing else (lines of JSON with \`-f\`); messages for people go to
standard error. Tables fit the terminal; colours only on a terminal, never with \`NO_COLOR\`.

## Exit codes

\`run\` and \`wait\` pass the task's own code through, 128 + n where signal n ended it. What they say themselves has
Docker's and timeout's numbers: 124 time limit, 125 the cluster or the command line (also \`run\` of what can never be
placed, with the reason), 126 cannot be invoked, 127 not found, 130 after Ctrl-C. \`wait\` gives the highest of a job's
tasks. Ctrl-C in \`run\` cancels the job and waits for its end; a second one leaves it to the cluster, and so does a
terminal that goes away.

Every other verb: 0 well, 1 error, 2 wrong usage or a bad file, 3 no such thing, 4 cannot be placed now, 5 can never be
placed, 6 cluster not reachable or without a leader, 7 not allowed. An error says what happened, why, and what to try
next; with \`--json\` it is \`{"error":{"code","message","hint"}}\` on standard error ([all codes](faults.md)).
`;

/** docs/cli.md: what `mesq VERB --help` prints, for every verb. */
export async function cliPage(): Promise<string> {
  const sections: string[] = [];
  const section = async (words: readonly string[]): Promise<void> => {
    const text = await printed(words[0] === 'help' ? words : [...words, '--help']);
    sections.push(`## mesq ${words.join(' ')}\n\n\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`);
  };
  await section(['help']);
  for (const [word, { load }] of Object.entries(VERBS)) {
    await section([word]);
    for (const below of Object.keys((await load()).verbs ?? {})) await section([word, below]);
  }
  return `${HEAD}\n${sections.join('\n')}`;
}

async function printed(argv: readonly string[]): Promise<string> {
  let text = '';
  const out: Sink = {
    isTerminal: false,
    columns: 100,
    colours: false,
    write: (data) => {
      text += data.toString();
      return Promise.resolve(true);
    },
  };
  // Help touches nothing else of a terminal.
  await runCommandLine(argv, { version: '', environment: {}, user: '', out, error: out } as unknown as Terminal);
  return text;
}
