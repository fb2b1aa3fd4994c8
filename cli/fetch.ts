import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { SandboxPath } from '../protocol/sandbox-path.ts';
import type { OutputPiece } from '../sdk/index.ts';
import { EXIT } from './exit-codes.ts';
import { whyMissing } from './missing-task.ts';
import { settleable } from './settleable.ts';
import { readAnyTask } from './task-name.ts';
import type { NewFile } from './terminal.ts';
import type { Verb } from './verb.ts';

interface FetchOptions {
  readonly output?: string;
  readonly force?: boolean;
  readonly overBudget?: boolean;
}

/** `mesq fetch TASK PATH`: a file of the task's sandbox, wherever it runs or ran. */
export const fetchFile: Verb = {
  examples: [
    'mesq fetch k3v9x2ab result.csv          # into result.csv here',
    'mesq fetch k3v9x2ab.4 out/model.bin -o model.bin --force',
    'mesq fetch k3v9x2ab.4.0 report.json -o - | jq .',
  ],
  exits: {
    130: 'interrupted: nothing is left of the file',
    141: 'nobody reads standard output any more',
  },
  configure: (command) => {
    command
      .argument('<task>', 'job, job.index, job.index.attempt, or framework/task')
      .argument('<path>', "a file, relative to the task's sandbox")
      .option('-o, --output <file>', 'where to; - is standard output (default: its name, in this folder)')
      .option('--force', 'replace a file that is there')
      .option('--over-budget', "although the agent's budget for the day is spent (operators)");
  },
  run: async (context, command) => {
    const { output, force = false, overBudget = false } = command.opts<FetchOptions>();
    const [task = '', path = ''] = command.args;
    const name = readAnyTask(task);
    if (name instanceof Fault) return name;
    const { framework, attempt } = name;
    const source = { framework, task: name.task, path, overBudget, ...(attempt === undefined ? {} : { attempt }) };
    const trouble = check(SandboxPath, path);
    if (trouble instanceof Fault)
      return new Fault(
        'BAD_USAGE',
        `${JSON.stringify(path)}: ${trouble.message.replace(/^the message: /, '')}`,
        'Name a file below the sandbox, like out/result.csv.',
      );
    const { terminal } = context;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const stopped = settleable<undefined>();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      terminal.onSignal(signal, () => stopped.settle(undefined));
    const pieces = connection.client.readFile({ ...source, answerMs: context.answerMs() })[Symbol.asyncIterator]();
    const told = async (end: number | Fault): Promise<number | Fault> =>
      end instanceof Fault && end.code === 'NOT_FOUND' ? whyMissing(context, name, 'read', end) : end;
    if (output === '-') return told(await copy(pieces, stopped.promise, (bytes) => terminal.out.write(bytes)));
    const file = await terminal.newFile(
      output ?? path.split('/').findLast((part) => part !== '' && part !== '.') ?? '',
      force,
    );
    if (file instanceof Fault) return file;
    return told(await copyToFile(pieces, stopped.promise, file));
  },
};

type Pieces = AsyncIterator<OutputPiece | Fault>;

async function copyToFile(pieces: Pieces, stopped: Promise<undefined>, file: NewFile): Promise<number | Fault> {
  let fault: Fault | undefined;
  const code = await copy(pieces, stopped, async (bytes) => {
    fault = await file.write(bytes);
    return fault === undefined;
  });
  if (code === 0) return (await file.keep()) ?? 0;
  await file.discard();
  return fault ?? code;
}

/** Copies to the end of the file; the exit code, or what went wrong. `write` says false where nobody takes any more. */
async function copy(
  pieces: Pieces,
  stopped: Promise<undefined>,
  write: (bytes: Uint8Array) => Promise<boolean>,
): Promise<number | Fault> {
  let left: number = EXIT.interrupted;
  for (;;) {
    const next = await Promise.race([pieces.next(), stopped]);
    if (next === undefined || next.done === true) break;
    const piece = next.value;
    if (piece instanceof Fault) return piece;
    if (piece.bytes.length > 0 && !(await write(piece.bytes))) {
      left = EXIT.brokenPipe;
      break;
    }
    if (piece.end) return 0;
  }
  // A generator that waits for its next piece returns only with it: nobody waits for that here.
  pieces.return?.().catch(() => {});
  return left;
}
