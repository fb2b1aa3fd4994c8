import { Fault } from '../protocol/faults.ts';
import type { ExecSession } from '../sdk/index.ts';
import { Escape } from './escape.ts';
import { EXIT } from './exit-codes.ts';
import { tellLosses } from './losses.ts';
import { whyMissing } from './missing-task.ts';
import { notice } from './output.ts';
import { settleable } from './settleable.ts';
import { readAnyTask } from './task-name.ts';
import type { Input, Signal, Sink } from './terminal.ts';
import { maySayUnexecuted, unexecutedWords } from './unexecuted.ts';
import type { Context, Verb } from './verb.ts';

interface ExecVerbOptions {
  /** Undefined: as it is here. */
  readonly tty?: boolean;
}

/** Where nobody says how large it is. */
const USUAL_SIZE = { rows: 24, columns: 80 };
const USUAL_TYPE = 'xterm';
/** A shell's own numbers for whom a signal ended. */
const SIGNAL_EXITS: Readonly<Record<Signal, number>> = { SIGINT: EXIT.interrupted, SIGTERM: 143, SIGHUP: EXIT.hungUp };

/** `mesq exec TASK -- CMD`: a program in the sandbox of a task that runs; exits as it exits. */
export const exec: Verb = {
  faultExit: EXIT.cluster,
  exits: {
    0: 'the program ended well',
    n: 'its own code',
    125: 'the cluster or the command line was wrong; the task does not run',
    126: 'the program cannot be executed',
    127: 'there is no such program',
    '128+n': 'signal n ended it',
    129: 'the terminal was lost: the program is hung up on',
    130: 'Ctrl-C without a terminal, `~.` with one: the program is hung up on',
    141: 'nobody reads standard output any more: the program is hung up on',
    143: 'SIGTERM: the program is hung up on',
  },
  examples: [
    'mesq exec k3v9x2ab                       # a shell in the sandbox of its task',
    'mesq exec k3v9x2ab.4 -- top',
    'mesq exec k3v9x2ab -- tail -n 100 train.log | grep loss',
    'echo reload | mesq exec k3v9x2ab -- tee control',
  ],
  configure: (command) => {
    command
      .option('-t, --tty', 'under a terminal of its own, though there is none here')
      .option('--no-tty', 'with three pipes, though there is a terminal here')
      .argument('<task>', 'job, job.index, job.index.attempt, or framework/task: it runs')
      .argument('[command...]', 'behind -- (default: sh)')
      .usage('[options] TASK [-- COMMAND [ARGUMENT…]]')
      .passThroughOptions();
  },
  run: async (context, command) => {
    const { terminal } = context;
    const [text = '', ...behind] = command.args;
    // Options end at the task, and with them the meaning of `--`.
    const argv = behind[0] === '--' ? behind.slice(1) : behind;
    const name = readAnyTask(text);
    if (name instanceof Fault) return name;
    const { framework, task, attempt } = name;
    const { input, out, environment } = terminal;
    const { tty = input.isTerminal && out.isTerminal } = command.opts<ExecVerbOptions>();
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const type = /^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$/.exec(environment['TERM'] ?? '')?.[0] ?? USUAL_TYPE;
    const session = connection.client.exec({
      ...{ framework, task, answerMs: context.answerMs() },
      ...(attempt === undefined ? {} : { attempt }),
      argv: argv.length === 0 ? ['sh'] : argv,
      ...(tty ? { terminal: { ...USUAL_SIZE, ...sizeOf(input), type } } : {}),
    });
    const typed = tty && input.isTerminal;
    const forget = tellLosses(terminal.clock, connection.bus, (event) => void say(context, event, typed));
    try {
      const end = await follow(context, session, tty);
      if (!(end instanceof Fault) || end.code !== 'NOT_FOUND' || (await session.started)) return end;
      return await whyMissing(context, name, 'enter', end);
    } finally {
      forget();
    }
  },
};

async function follow({ terminal }: Context, session: ExecSession, tty: boolean): Promise<number | Fault> {
  const { input, out, error } = terminal;
  const left = settleable<number>();
  const signals: readonly Signal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const forget = signals.map((signal) => terminal.onSignal(signal, () => left.settle(SIGNAL_EXITS[signal])));
  const copyOut = async (): Promise<number | Fault> => {
    // The first words are held back until it is known whether they are the program's own; they come in pieces.
    let held: { readonly sink: Sink; readonly text: string } | undefined;
    let isOwn = false;
    for await (const { stream, bytes } of session.output) {
      const sink = stream === 'stdout' ? out : error;
      if (!isOwn && (held === undefined || held.sink === sink)) {
        const text = `${held?.text ?? ''}${new TextDecoder().decode(bytes)}`;
        if (maySayUnexecuted(text)) {
          held = { sink, text };
          continue;
        }
      }
      isOwn = true;
      if (held !== undefined && !(await held.sink.write(held.text))) return EXIT.brokenPipe;
      held = undefined;
      if (!(await sink.write(bytes))) return EXIT.brokenPipe;
    }
    const end = await session.ended;
    if (held !== undefined) await held.sink.write(unexecutedWords(held.text, end instanceof Fault ? 0 : end));
    return end;
  };
  void session.started.then((began) => {
    if (!began) return;
    if (tty) {
      input.raw(true);
      const resize = (): void => session.resize({ ...USUAL_SIZE, ...sizeOf(input) });
      forget.push(input.onResize(resize));
      resize();
    }
    void copyIn(input, session, tty && input.isTerminal, () => left.settle(EXIT.interrupted));
  });
  try {
    const end = await Promise.race([copyOut(), left.promise]);
    await session.hangUp();
    return end;
  } finally {
    input.raw(false);
    for (const remove of forget) remove();
  }
}

async function copyIn(input: Input, session: ExecSession, typed: boolean, leave: () => void): Promise<void> {
  const keys = new Escape();
  for await (const piece of input.read()) {
    const { bytes, leaves } = typed ? keys.take(piece) : { bytes: piece, leaves: false };
    await session.write(bytes);
    if (leaves) return leave();
  }
  session.endInput();
}

/** Only what a terminal can be: some say that they have no lines. */
function sizeOf(input: Input): { rows?: number; columns?: number } {
  const { rows = 0, columns = 0 } = input.size() ?? {};
  const within = (lines: number): boolean => lines >= 1 && lines <= 1_000;
  return { ...(within(rows) ? { rows } : {}), ...(within(columns) ? { columns } : {}) };
}

/** For whoever types into a terminal it stands on a line of its own, and says how one leaves it now. */
async function say(context: Context, event: 'lost' | 'back', typed: boolean): Promise<void> {
  const { terminal, options } = context;
  if (typed && !options.quiet) await terminal.error.write('\n');
  const leaving = typed ? ' ~. at the beginning of a line leaves.' : '';
  await notice(
    context,
    event === 'lost'
      ? `the connection to the cluster is lost; trying again. The program goes on meanwhile.${leaving}`
      : 'connected again',
  );
}
