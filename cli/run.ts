import { Fault } from '../protocol/faults.ts';
import { EXIT, TASK_EXITS } from './exit-codes.ts';
import { runJob } from './follow.ts';
import { addJobOptions, type JobOptions, specOfOptions } from './job-options.ts';
import { printJson, printLine } from './output.ts';
import { JOB_ID_LENGTH, submitJob } from './submit-job.ts';
import { prepareUploads, withUploads, writtenUpload } from './uploads.ts';
import type { Verb } from './verb.ts';

interface RunOptions {
  readonly detach?: boolean;
  readonly json?: boolean;
  readonly upload?: readonly string[];
  readonly file?: readonly string[];
}

/** `mesq run -- CMD`: a job of one command, followed to its end; exits as it exits. */
export const run: Verb = {
  faultExit: EXIT.cluster,
  exits: {
    ...TASK_EXITS,
    0: 'every task finished; with `--detach`, the job was submitted',
    125: `${TASK_EXITS[125]}; it could never be placed, with the reason`,
    129: 'the terminal was lost: the job is left to the cluster',
    130: 'Ctrl-C: the job was cancelled and has ended; after a second one it is left to the cluster',
    141: 'nobody reads standard output any more: the job was cancelled',
  },
  examples: [
    'mesq run -- echo hello',
    'mesq run --cpus 2 --mem 1G --time 10m -- make -C /srv/project',
    'mesq run --count 20 -- sh -c \'echo "part $MESQ_TASK_INDEX"\'',
    'mesq run --constraint board==jetson-orin-nano --gpus 1 -- ./infer',
    'mesq run --image docker.io/library/busybox:1.37 -- echo hello   # in a container',
    'mesq run --artifact https://host/model.tar.gz,path=model,extract -- ./infer model',
    'mesq run --upload . --file model.bin:data/model.bin -- python3 train.py',
    'mesq run --detach -- ./long-job       # prints its id, and returns',
  ],
  configure: (command) => {
    addJobOptions(command);
    const gather = (value: string, before: string[] = []): string[] => [...before, value];
    command
      .option(
        '--upload <dir[:path]>',
        'a folder of this machine, unpacked in the sandbox before the start; may be repeated',
        gather,
      )
      .option(
        '--file <file[:path]>',
        'a file of this machine, in the sandbox before the start; may be repeated',
        gather,
      )
      .option('-d, --detach', "print the job's id and leave it to the cluster")
      .argument('[command...]', 'behind --')
      .usage('[options] -- COMMAND [ARGUMENT…]')
      .passThroughOptions();
  },
  run: async (context, command) => {
    const { terminal, options } = context;
    const written = command.opts<JobOptions & RunOptions>();
    const spec = await specOfOptions(terminal.randomWord(JOB_ID_LENGTH), jobPart(written), command.args);
    if (spec instanceof Fault) return spec;
    const uploads = await prepareUploads(context, [
      ...(written.upload ?? []).map((text) => writtenUpload('folder', text)),
      ...(written.file ?? []).map((text) => writtenUpload('file', text)),
    ]);
    if (uploads instanceof Fault) return uploads;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const whole = await withUploads(context, connection.client, spec, uploads);
    if (whole instanceof Fault) return whole;
    if (written.detach !== true) return runJob(context, connection, whole);
    const submitted = await submitJob(connection.client, whole, context.answerMs());
    if (submitted instanceof Fault) return submitted;
    if (options.json) await printJson(context, { job: spec.job });
    else await printLine(context, spec.job);
    return 0;
  },
};

/** What the job is made of, without what only this command knows; an option that is missing here does not compile. */
function jobPart(written: JobOptions): JobOptions {
  const { name, count, cpus, mem, limitCpus, limitMem, disk, gpus, accelerators, ports, env, constraint } = written;
  const { restart, retries, time, grace, requeue, image, pull, network, artifact } = written;
  const { lostAfter, stopOnClientAfter, replace, reconcile } = written;
  const part: { [Option in keyof Required<JobOptions>]: JobOptions[Option] } = {
    ...{ name, count, cpus, mem, limitCpus, limitMem, disk, gpus, accelerators, ports, env, constraint },
    ...{ restart, retries, time, grace, requeue, image, pull, network, artifact },
    ...{ lostAfter, stopOnClientAfter, replace, reconcile },
  };
  return Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined));
}
