import { Command, CommanderError } from 'commander';
import { FAULTS, Fault } from '../protocol/faults.ts';
import { closest } from './closest.ts';
import { DEFAULT_PREFIX, readCommonOptions, secretOf, type WrittenOptions } from './common-options.ts';
import { printFault } from './output.ts';
import type { Connection, Terminal } from './terminal.ts';
import type { CommonOptions, Context, Verb } from './verb.ts';
import { VERBS, type VerbName } from './verbs.ts';

const USAGE_EXIT = 2;

const EXAMPLES = [
  'mesq up                          # a whole cluster on this machine',
  'mesq run -- echo hello           # run a command somewhere in it',
  'mesq run --count 10 -- sh -c \'echo "part $MESQ_TASK_INDEX"\'',
  'mesq ps                          # what runs, and where',
];

/** Runs one command line (without `node` and the script) to its end, and gives the exit code. */
export async function runCommandLine(argv: readonly string[], terminal: Terminal): Promise<number> {
  const { words, helped } = askedWords(argv);
  const [first = '', second = ''] = words;
  const asked = Object.hasOwn(VERBS, first) ? (first as VerbName) : undefined;
  const above = asked === undefined ? undefined : await VERBS[asked].load();
  const below = above?.verbs !== undefined && Object.hasOwn(above.verbs, second) ? second : undefined;
  const verb = below === undefined ? above : await above?.verbs?.[below]?.load();
  const usageExit = verb?.faultExit ?? USAGE_EXIT;
  const json = asksForJson(argv);
  const unknown =
    first !== '' && asked === undefined
      ? unknownCommand('mesq', first, Object.keys(VERBS))
      : above?.verbs !== undefined && second !== '' && below === undefined
        ? unknownCommand(`mesq ${asked}`, second, Object.keys(above.verbs))
        : undefined;
  if (unknown !== undefined) {
    await printFault(terminal, unknown, json);
    return USAGE_EXIT;
  }
  let code = 0;
  let misplaced: string | undefined;
  const writes: Promise<unknown>[] = [];
  const program = newProgram(terminal);
  program.configureOutput({
    writeOut: (text) => void writes.push(terminal.out.write(text)),
    writeErr: (text) => void writes.push(terminal.error.write(text)),
    // The fault below says it, in our own form.
    outputError: () => {},
    getOutHelpWidth: () => terminal.out.columns ?? 100,
    getOutHasColors: () => terminal.out.colours,
  });
  for (const [name, { summary }] of Object.entries(VERBS)) {
    const command = program.command(name, { hidden: false }).summary(summary).description(`${summary}.`);
    if (verb === undefined || name !== asked) continue;
    const told = below === undefined ? command : command.command(below);
    addCommonOptions(command);
    if (below === undefined)
      for (const [word, entry] of Object.entries(verb.verbs ?? {}))
        command
          .command(word)
          .summary(entry.summary)
          .allowUnknownOption()
          .allowExcessArguments()
          .action(() => {
            misplaced = word;
          });
    else {
      addCommonOptions(told);
      told.summary(above?.verbs?.[below]?.summary ?? '').description(`${told.summary()}.`);
    }
    told.addHelpText('before', `${verb.examples.map((line: string) => `  ${line}`).join('\n')}\n`);
    verb.configure(told);
    const needed = told.options.filter(({ mandatory }) => mandatory);
    // Commander would miss one before it sees that its name was mistyped.
    for (const option of needed) option.makeOptionMandatory(false);
    told.action(async () => {
      const missing = needed.find((option) => told.getOptionValue(option.attributeName()) === undefined);
      if (missing === undefined) {
        code = await runVerb(verb, told, terminal);
        return;
      }
      code = usageExit;
      const { flags, description } = missing;
      await printFault(terminal, new Fault('BAD_USAGE', `${flags} is missing: ${description}`, likeIn(verb)), json);
    });
  }
  try {
    await program.parseAsync(helped ? [...words, '--help'] : [...argv], { from: 'user' });
    if (misplaced !== undefined) {
      code = usageExit;
      const order = `Write mesq ${asked} ${misplaced} first, and its options behind.`;
      await printFault(terminal, new Fault('BAD_USAGE', `${misplaced} stands behind options`, order), json);
    }
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) code = 0;
    else {
      code = usageExit;
      if (error.code !== 'commander.help')
        await printFault(terminal, usageFault(error, below === undefined ? asked : `${asked} ${below}`, verb), json);
    }
  }
  await Promise.all(writes);
  return code;
}

const PAGES = `
Pages that messages name (docs/jobs.md): in /usr/share/doc/mesq of the package, $(npm root -g)/mesquite of npm.`;

function newProgram(terminal: Terminal): Command {
  const program = new Command('mesq')
    .description('Runs tasks on a pool of small machines, over MQTT.')
    .version(terminal.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [verb]', 'show what a verb takes')
    .addHelpText('before', `${EXAMPLES.map((line) => `  ${line}`).join('\n')}\n`)
    .addHelpText('after', PAGES)
    .enablePositionalOptions()
    .exitOverride();
  addCommonOptions(program);
  return program;
}

function addCommonOptions(command: Command): void {
  const gather = (value: string, before: string[] = []): string[] => [...before, value];
  command
    .option('--url <url>', 'the cluster: mqtt://host:1883[,…] (MESQ_URL)', gather)
    .option('--prefix <word>', 'first level of every topic (default mesq)')
    .option('--token <name:secret>', 'who asks (MESQ_TOKEN)')
    .option('--ca <file>', 'PEM file of authorities to trust')
    .option('--timeout <duration>', 'longest wait for an answer (default 10s)')
    .option('--json', 'print JSON and nothing else')
    .option('--quiet', 'say nothing but results and errors')
    .helpOption('-h, --help', 'show this help');
}

async function runVerb(verb: Verb, command: Command, terminal: Terminal): Promise<number> {
  const written = command.optsWithGlobals<WrittenOptions>();
  const options = await readCommonOptions(written, terminal);
  const exitOf = (fault: Fault): number => verb.faultExit ?? FAULTS[fault.code].exit;
  if (options instanceof Fault) {
    await printFault(terminal, options, written.json === true);
    return exitOf(options);
  }
  const { context, close } = contextOf(terminal, options);
  try {
    const outcome = await verb.run(context, command);
    if (!(outcome instanceof Fault)) return outcome;
    await printFault(terminal, underPrefix(outcome, options.prefix), options.json);
    return exitOf(outcome);
  } finally {
    await close();
  }
}

/** Under a prefix of somebody's own no master may ever have spoken: a broker knows no wrong ones. */
function underPrefix(fault: Fault, prefix: string): Fault {
  if (fault.code !== 'NO_LEADER' || prefix === DEFAULT_PREFIX) return fault;
  const doubt = `Is ${prefix} the --prefix (MESQ_PREFIX) that the masters were started with?`;
  return new Fault(fault.code, fault.message, `${doubt} ${fault.hint}`);
}

function contextOf(terminal: Terminal, options: CommonOptions): { context: Context; close: () => Promise<void> } {
  let connecting: Promise<Connection | Fault> | undefined;
  let connectedMs = 0;
  const connect = (): Promise<Connection | Fault> => {
    const { urls, prefix, name, token, ca, timeoutMs } = options;
    if (connecting !== undefined) return connecting;
    const begunMs = terminal.clock.monotonic();
    connecting = terminal
      .connect({
        urls,
        prefix,
        name,
        timeoutMs,
        ...(token === undefined ? {} : { password: secretOf(token) }),
        ...(ca === undefined ? {} : { ca }),
      })
      .finally(() => {
        connectedMs = terminal.clock.monotonic() - begunMs;
      });
    return connecting;
  };
  const answerMs = (): number => {
    const leftMs = Math.max(1, options.timeoutMs - connectedMs);
    connectedMs = 0;
    return leftMs;
  };
  const close = async (): Promise<void> => {
    const connection = await connecting;
    if (connection !== undefined && !(connection instanceof Fault)) await connection.close();
  };
  return { context: { terminal, options, connect, answerMs }, close };
}

/** Options of every verb; those that take a value are true. */
const COMMON: Readonly<Record<string, boolean>> = {
  ...{ '--url': true, '--prefix': true, '--token': true, '--ca': true, '--timeout': true },
  ...{ '--json': false, '--quiet': false, '--help': false, '-h': false },
};

/**
 * The first word that is no option, and the one behind it, up to an option that a verb has for itself: only the file of
 * that verb is loaded. Also whether `help` stands before them.
 */
function askedWords(argv: readonly string[]): { readonly words: readonly string[]; readonly helped: boolean } {
  const words: string[] = [];
  let helped = false;
  for (let at = 0; at < argv.length && words.length < 2; at++) {
    const word = argv[at] ?? '';
    const [flag = ''] = word.split('=');
    if (word === 'help' && words.length === 0) helped = true;
    else if (!word.startsWith('-')) words.push(word);
    else if (!Object.hasOwn(COMMON, flag)) break;
    else if (COMMON[flag] === true && flag === word) at++;
  }
  return { words, helped };
}

function unknownCommand(above: string, word: string, known: readonly string[]): Fault {
  const meant = closest(word, known);
  const help = above === 'mesq' ? 'See mesq help.' : `See ${above} --help.`;
  return new Fault(
    'BAD_USAGE',
    `unknown command '${word}'${above === 'mesq' ? '' : ` of ${above}`}`,
    meant === undefined ? help : `Did you mean ${above} ${meant}? ${help}`,
  );
}

/** Whether a command line that cannot be read asked for JSON: before `--`, which ends our own options. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}

/** `error: unknown option '--cpu'\n(Did you mean --cpus?)` as a fault. */
function usageFault(error: CommanderError, name: string | undefined, verb: Verb | undefined): Fault {
  const [message = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const help = name === undefined ? 'See mesq help.' : `See mesq ${name} --help.`;
  if (error.code === 'commander.missingArgument' && verb !== undefined) {
    const [, argument] = /'(.*)'/.exec(message) ?? [];
    return new Fault('BAD_USAGE', `<${argument}> is missing`, likeIn(verb));
  }
  const [, most, got] = /Expected (\d+) arguments? but got (\d+)/.exec(message) ?? [];
  if (most !== undefined)
    return new Fault(
      'BAD_USAGE',
      `mesq ${name} takes ${most === '0' ? 'no word' : `at most ${most}`}, and got ${got}`,
      help,
    );
  const suggestion = /\((Did you mean .*)\)/.exec(more.join(' '))?.[1];
  return new Fault('BAD_USAGE', message, suggestion === undefined ? help : `${suggestion} ${help}`);
}

/** Its first example, without what is said about it. */
function likeIn({ examples: [example = ''] }: Verb): string {
  return `Write it like ${example.replace(/\s+#.*$/, '')}`;
}
