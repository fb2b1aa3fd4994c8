import { Command, CommanderError } from 'commander';
import { FAULTS, Fault } from '../protocol/faults.ts';
import { readCommonOptions, secretOf, type WrittenOptions } from './common-options.ts';
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
  const words = askedWords(argv);
  const [first = ''] = words;
  const asked = Object.hasOwn(VERBS, first) ? (first as VerbName) : undefined;
  const above = asked === undefined ? undefined : await VERBS[asked].load();
  const below = above?.verbs !== undefined && Object.hasOwn(above.verbs, words[1] ?? '') ? words[1] : undefined;
  const verb = below === undefined ? above : await above?.verbs?.[below]?.load();
  const usageExit = verb?.faultExit ?? USAGE_EXIT;
  const json = asksForJson(argv);
  let code = 0;
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
    if (below === undefined)
      for (const [word, entry] of Object.entries(verb.verbs ?? {})) command.command(word).summary(entry.summary);
    else told.summary(above?.verbs?.[below]?.summary ?? '').description(`${told.summary()}.`);
    addCommonOptions(told);
    told.addHelpText('before', `${verb.examples.map((line: string) => `  ${line}`).join('\n')}\n`);
    verb.configure(told);
    told.action(async () => {
      code = await runVerb(verb, told, terminal);
    });
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) code = 0;
    else {
      code = usageExit;
      if (error.code !== 'commander.help')
        await printFault(terminal, usageFault(error, below === undefined ? asked : `${asked} ${below}`), json);
    }
  }
  await Promise.all(writes);
  return code;
}

function newProgram(terminal: Terminal): Command {
  const program = new Command('mesq')
    .description('Runs tasks on a pool of small machines, over MQTT.')
    .version(terminal.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [verb]', 'show what a verb takes')
    .addHelpText('before', `${EXAMPLES.map((line) => `  ${line}`).join('\n')}\n`)
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
    await printFault(terminal, outcome, options.json);
    return exitOf(outcome);
  } finally {
    await close();
  }
}

function contextOf(terminal: Terminal, options: CommonOptions): { context: Context; close: () => Promise<void> } {
  let connecting: Promise<Connection | Fault> | undefined;
  const connect = (): Promise<Connection | Fault> => {
    const { urls, prefix, name, token, ca, timeoutMs } = options;
    connecting ??= terminal.connect({
      urls,
      prefix,
      name,
      timeoutMs,
      ...(token === undefined ? {} : { password: secretOf(token) }),
      ...(ca === undefined ? {} : { ca }),
    });
    return connecting;
  };
  const close = async (): Promise<void> => {
    const connection = await connecting;
    if (connection !== undefined && !(connection instanceof Fault)) await connection.close();
  };
  return { context: { terminal, options, connect }, close };
}

/** The first word that is no option, and the one right behind it: only the file of that verb is loaded. */
function askedWords(argv: readonly string[]): readonly string[] {
  const takesValue = new Set(['--url', '--prefix', '--token', '--ca', '--timeout']);
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (takesValue.has(word)) at++;
    else if (word === 'help') continue;
    else if (!word.startsWith('-')) return argv.slice(at, at + 2);
  }
  return [];
}

/** Whether a command line that cannot be read asked for JSON: before `--`, which ends our own options. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}

/** `error: unknown option '--cpu'\n(Did you mean --cpus?)` as a fault. */
function usageFault(error: CommanderError, verb: string | undefined): Fault {
  const [message = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = /\((Did you mean .*)\)/.exec(more.join(' '))?.[1];
  const help = verb === undefined ? 'See mesq help.' : `See mesq ${verb} --help.`;
  return new Fault('BAD_USAGE', message, suggestion === undefined ? help : `${suggestion} ${help}`);
}
