import type { Command } from 'commander';
import { FAULTS, Fault } from '../protocol/faults.ts';
import type { JobSpec } from '../protocol/job.ts';
import { jobSpecOf, type WrittenJob } from './needs.ts';

/** What `mesq run` takes, as commander gives it. */
export interface JobOptions {
  readonly name?: string;
  readonly count?: string;
  readonly cpus?: string;
  readonly mem?: string;
  readonly limitCpus?: string;
  readonly limitMem?: string;
  readonly disk?: string;
  readonly gpus?: string;
  readonly accelerators?: string;
  readonly ports?: string;
  readonly env?: readonly string[];
  readonly constraint?: readonly string[];
  readonly restart?: string;
  readonly retries?: string;
  readonly time?: string;
  readonly grace?: string;
  readonly requeue?: boolean;
  readonly lostAfter?: string;
  readonly stopOnClientAfter?: string;
  readonly replace?: boolean;
  readonly reconcile?: string;
  readonly image?: string;
  readonly pull?: string;
  readonly network?: string;
  readonly artifact?: readonly string[];
}

export function addJobOptions(command: Command): void {
  const gather = (value: string, before: string[] = []): string[] => [...before, value];
  command
    .option('--cpus <n>', 'of each task (default 1)')
    .option('--mem <size>', 'MB, or with K, M, G (default 128); written, it is also the limit')
    .option('--limit-mem <size>', 'the most each task may take, or unlimited (default --mem, where written)')
    .option('--limit-cpus <n>', 'the most each task may take, though more be idle (default unlimited)')
    .option('--disk <size>', 'MB, or with K, M, G (default 0)')
    .option('--gpus <n>', 'whole GPUs (default 0)')
    .option('--accelerators <list>', 'hailo:1;coral:2 (default none)')
    .option('--ports <n>', 'given as MESQ_PORT0, MESQ_PORT1, … (default 0)')
    .option('--count <n>', 'so many tasks, MESQ_TASK_INDEX from 0 (default 1)')
    .option('--name <text>', 'shown in mesq jobs')
    .option('--env <K=V>', 'environment; may be repeated', gather)
    .option('--constraint <c>', 'board==pi-5, arch~=arm.*, site!=roof, unique:hostname; may be repeated', gather)
    .option('--image <reference>', 'run it in a container of this image; without a command, the one of the image')
    .option('--pull <when>', 'never, missing or always: with --image (default missing)')
    .option('--network <kind>', 'bridge, host or none: with --image (default bridge)')
    .option(
      '--artifact <uri>',
      'URI[,path=NAME][,extract][,executable][,sha256=HEX]: fetched first; may be repeated',
      gather,
    )
    .option('--restart <when>', 'never, on-failure or always (default never)')
    .option('--retries <n>', 'new attempts after a failure (default 0)')
    .option('--no-requeue', 'no new attempt either where one was lost to a reboot, a lost agent or a lost launch')
    .option('--lost-after <duration>', 'out of reach so long, it is lost and placed anew (default 1h)')
    .option('--stop-on-client-after <duration>', 'the agent itself ends it, so long without a master (default never)')
    .option('--replace', 'place another while it is out of reach; unless --reconcile says so, the first to end wins')
    .option('--reconcile <which>', 'keep_original, keep_replacement or longest_running, once both are in reach')
    .option('--time <duration>', 'longest run of an attempt; longer is exit code 124')
    .option('--grace <duration>', 'between SIGTERM and SIGKILL');
}

/** Makes the job. Faults name the option that is wrong. */
export async function specOfOptions(
  job: string,
  options: JobOptions,
  argv: readonly string[],
): Promise<JobSpec | Fault> {
  const { image, pull, network } = options;
  if (image === undefined && (pull !== undefined || network !== undefined))
    return new Fault(
      'BAD_USAGE',
      `--${pull === undefined ? 'network' : 'pull'} is about a container: name its --image`,
    );
  if (argv.length === 0 && image === undefined)
    return new Fault('BAD_USAGE', 'there is no command to run', 'Write it behind --, as in mesq run -- echo hello.');
  const environment = environmentOf(options.env ?? []);
  if (environment instanceof Fault) return environment;
  const { env: _, constraint, image: _image, pull: _pull, network: _network, artifact, ...others } = options;
  const { lostAfter, stopOnClientAfter, replace, reconcile, ...rest } = others;
  const container = { image, ...(pull === undefined ? {} : { pull }), ...(network === undefined ? {} : { network }) };
  const made = await jobSpecOf(job, {
    ...rest,
    argv,
    ...(image === undefined ? {} : { container }),
    ...disconnectFields({ lost_after: lostAfter, stop_on_client_after: stopOnClientAfter, replace, reconcile }),
    environment,
    ...(constraint === undefined ? {} : { constraints: constraint }),
    ...(artifact === undefined ? {} : { artifacts: artifact }),
  });
  if (!('fault' in made)) return made;
  const { field, fault } = made;
  const [, at, told = ''] = new RegExp(`^(?:${field}(?:\\.([\\w.-]+))?: )?(.*)$`, 's').exec(fault.message) ?? [];
  // One of several options, which the message names.
  if (field === 'disconnect')
    return new Fault(fault.code, `--${told.replaceAll('_', '-')}`, fault.hint?.replace('replace: true', '--replace'));
  // The general one is about job files.
  const hint = fault.hint === FAULTS.BAD_JOB.hint ? 'See mesq run --help.' : fault.hint;
  return new Fault(fault.code, `${optionOf(field, at, options)}: ${told}`, hint);
}

/** Where an option is called otherwise than the field that it fills. */
const OPTIONS: Readonly<Partial<Record<keyof WrittenJob, string>>> = {
  constraints: '--constraint',
  argv: 'the command',
  environment: '--env',
  container: '--image',
  artifacts: '--artifact',
};

/** The option that filled a field, and where it may be repeated, which of them. `at` is the place within the field. */
function optionOf(field: keyof WrittenJob, at: string | undefined, { artifact, constraint }: JobOptions): string {
  if (field === 'container' && at !== undefined && at !== 'image') return `--${at}`;
  const option = OPTIONS[field] ?? `--${kebab(field)}`;
  if (at === undefined) return option;
  const repeated = field === 'artifacts' ? artifact : field === 'constraints' ? constraint : undefined;
  const text = repeated?.[Number.parseInt(at, 10)];
  if (text !== undefined) return repeated?.length === 1 ? option : `${option} ${JSON.stringify(text.slice(0, 80))}`;
  return field === 'environment' ? `${option} ${at}` : option;
}

function kebab(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function disconnectFields(written: Readonly<Record<string, unknown>>): Pick<WrittenJob, 'disconnect'> {
  const fields = Object.entries(written).filter(([, value]) => value !== undefined);
  return fields.length === 0 ? {} : { disconnect: Object.fromEntries(fields) };
}

function environmentOf(pairs: readonly string[]): Record<string, string> | Fault {
  const environment: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals < 1)
      return new Fault('BAD_USAGE', `--env: ${JSON.stringify(pair)} has no NAME=`, 'Write it like --env LEVEL=3.');
    environment[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return environment;
}
