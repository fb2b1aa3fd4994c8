import { runCommandLine } from '../cli/program.ts';
import type { Sink, Terminal } from '../cli/terminal.ts';
import type { Verb, VerbEntry } from '../cli/verb.ts';
import { VERBS } from '../cli/verbs.ts';
import { FAULTS } from '../protocol/faults.ts';

const HEAD = `# The command line

After \`npm run build\`, \`node build/cli/main.js\` is \`mesq\`; \`npm install -g .\` puts it on the path. What the command line
is told nowhere else it takes from \`MESQ_URL\` and \`MESQ_TOKEN\`, and from the cluster that \`mesq up\` started last on this
machine. Durations are \`250ms 5s 10m 2h\`; memory and disk are MB, or take \`K M G\` (binary).

\`--json\` prints one JSON value to standard output and nothing else (lines of JSON with \`-f\`; standard output of a
job that is followed is the task's alone); messages for people go to
standard error. Tables fit the terminal: what is long is cut, then columns are left out, ids and states at the very last;
elsewhere they are whole. The newest comes first in \`mesq jobs\` and \`mesq ps\`. Colours only on a terminal, never with
\`NO_COLOR\`.
`;

/** docs/cli.md: what `mesq VERB --help` prints, for every verb. */
export async function cliPage(): Promise<string> {
  const sections: string[] = [];
  const section = async (words: readonly string[]): Promise<void> => {
    const text = await printed(words[0] === 'help' ? words : [...words, '--help']);
    sections.push(`## mesq ${words.join(' ')}\n\n\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`);
  };
  const [passing, others] = await exitRows();
  await section(['help']);
  for (const [word, { load }] of Object.entries(VERBS)) {
    await section([word]);
    for (const below of Object.keys((await load()).verbs ?? {})) await section([word, below]);
  }
  return `${HEAD}\n${exitCodes(passing, others)}\n${sections.join('\n')}`;
}

type ExitRow = readonly [verb: string, code: string, means: string];

/** What the verbs say of their exit codes: those that pass a program's on, and the others. */
async function exitRows(): Promise<[passing: ExitRow[], others: ExitRow[]]> {
  const passing: ExitRow[] = [];
  const others: ExitRow[] = [];
  const read = (name: string, { faultExit, exits = {} }: Verb): void => {
    for (const [code, means] of Object.entries(exits))
      (faultExit === undefined ? others : passing).push([name, code, means]);
  };
  for (const [word, entry] of Object.entries<VerbEntry>(VERBS)) {
    const verb = await entry.load();
    read(word, verb);
    for (const [below, { load }] of Object.entries(verb.verbs ?? {})) read(`${word} ${below}`, await load());
  }
  return [passing, others];
}

function exitCodes(passing: readonly ExitRow[], others: readonly ExitRow[]): string {
  const names = [...new Set(passing.map(([verb]) => verb))];
  const inOrder = [...new Set(passing.map(([, code]) => code))].sort((a, b) => rank(a) - rank(b));
  const rows = inOrder.flatMap((code) => {
    const coded = passing.filter((row) => row[1] === code);
    return [...new Set(coded.map(([, , means]) => means))].map((means) => {
      const of = coded.filter((row) => row[2] === means).map(([verb]) => verb);
      return `| ${code} | ${of.join(', ')} | ${means} |`;
    });
  });
  const common = Object.entries(COMMON).map(([code, means]) => {
    const faults = Object.entries(FAULTS).filter(([, { exit }]) => String(exit) === code);
    return `| ${code} | ${means} | ${faults.map(([name]) => `\`${name}\``).join(', ')} |`;
  });
  return `## Exit codes

${names.map((name) => `\`${name}\``).join(', ')} pass a program's own code on. What they say themselves has the numbers of Docker, timeout(1) and
the shell:

| code | of | when |
| --- | --- | --- |
${rows.join('\n')}

Every other verb, by the [fault](faults.md) that ends it:

| code | when | faults |
| --- | --- | --- |
${common.join('\n')}

Some have more to say:

| verb | code | when |
| --- | --- | --- |
${others.map((row) => `| ${row.join(' | ')} |`).join('\n')}

Any other that is interrupted ends by the signal: 128 + n, as the shell has it. An error says what happened, why, and what
to try next; with \`--json\` it is \`{"error":{"code","message","hint"}}\` on standard error.
`;
}

/** What the exit codes of the faults stand for. */
const COMMON = {
  0: 'all is well',
  1: 'an error',
  2: 'wrong usage, or a bad file',
  3: 'there is no such thing',
  4: 'not now',
  5: 'never',
  6: 'the cluster is not reached, or has no leader',
  7: 'not allowed',
} as const;

/** 0, a program's own code, then by number. */
function rank(code: string): number {
  return code === 'n' ? 0.5 : code === '128+n' ? 127.5 : Number(code);
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
