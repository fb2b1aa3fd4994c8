import { parseDuration } from '../protocol/duration.ts';
import { check } from '../protocol/envelope.ts';
import { Fault } from '../protocol/faults.ts';
import { JobSpec } from '../protocol/job.ts';
import { LIMITS } from '../protocol/limits.ts';
import { parseScalar } from '../protocol/resource-scalar.ts';
import { parseResources, type Resource, type Resources } from '../protocol/resources.ts';
import { sizeToMb } from '../protocol/size.ts';
import { RESTART_POLICIES, type RestartPolicy } from '../protocol/task.ts';
import { artifactsOf } from './written-artifact.ts';
import { healthCheckOf } from './written-check.ts';
import { disconnectOf } from './written-disconnect.ts';

/** A job as people write it, on the command line or in a file; each text as it was written, absent where it was not. */
export interface WrittenJob {
  readonly name?: string;
  readonly argv: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly count?: string;
  /** Of each task. Default 1. */
  readonly cpus?: string;
  /** Default 128 MB; one that is written is also the most that a task may take. */
  readonly mem?: string;
  /** The most that a task may take: instead of `mem`; and of CPUs, which it may go beyond unless this is written. */
  readonly limitMem?: string;
  readonly limitCpus?: string;
  /** Default 0, as are the rest. */
  readonly disk?: string;
  readonly gpus?: string;
  /** `hailo:1;coral:2` */
  readonly accelerators?: string;
  readonly ports?: string;
  readonly constraints?: readonly string[];
  readonly restart?: string;
  readonly retries?: string;
  /** Longest run of one attempt; default for ever. */
  readonly time?: string;
  /** Between SIGTERM and SIGKILL. */
  readonly grace?: string;
  readonly requeue?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** As the file has it (written-check.ts). */
  readonly healthCheck?: Readonly<Record<string, unknown>>;
  /** As the file has it (written-disconnect.ts). */
  readonly disconnect?: Readonly<Record<string, unknown>>;
  /** As the file has it (protocol/container.ts). */
  readonly container?: Readonly<Record<string, unknown>>;
  /** Each a text or a map (written-artifact.ts). */
  readonly artifacts?: readonly unknown[];
}

/** Which field of a {@link WrittenJob} is wrong. */
export interface WrongField {
  readonly field: keyof WrittenJob;
  readonly fault: Fault;
}

/** Makes the job that batch takes, or says which field is wrong and why. */
export async function jobSpecOf(job: string, written: WrittenJob): Promise<JobSpec | WrongField> {
  const wrong: WrongField[] = [];
  const taken = <Value>(field: keyof WrittenJob, value: Value | Fault, otherwise: Value): Value => {
    if (!(value instanceof Fault)) return value;
    wrong.push({ field, fault: value });
    return otherwise;
  };
  const {
    name,
    argv,
    environment,
    constraints = [],
    time,
    grace,
    requeue,
    labels,
    healthCheck,
    container,
    disconnect,
    artifacts,
  } = written;
  const restart = taken('restart', restartOf(written.restart), 'never');
  if (constraints.length > 0) {
    // A regular expression engine hangs on it, which most commands do without.
    const { parseConstraint } = await import('../protocol/constraints.ts');
    for (const [at, text] of constraints.entries()) {
      const read = parseConstraint(text);
      const placed =
        read instanceof Fault ? new Fault(read.code, `constraints.${at}: ${read.message}`, read.hint) : read;
      taken<unknown>('constraints', placed, undefined);
    }
  }
  const fields = {
    job,
    ...(name === undefined ? {} : { name }),
    argv,
    ...(container === undefined ? {} : { container }),
    ...(artifacts === undefined ? {} : { artifacts: taken('artifacts', artifactsOf(artifacts), []) }),
    environment: environment ?? {},
    count: taken('count', whole('count', written.count ?? '1', `from 1 to ${LIMITS.jobCount}`), 1),
    resources: [...resourcesOf(written, taken), ...taken('accelerators', acceleratorsOf(written.accelerators), [])],
    ...limitsOf(written, taken),
    ports: taken('ports', whole('ports', written.ports ?? '0', 'from 0 to 1000'), 0),
    constraints,
    restart,
    retries: taken('retries', whole('retries', written.retries ?? '0', 'from 0 to 1000'), 0),
    ...(requeue === undefined ? {} : { requeue }),
    ...(time === undefined ? {} : { timeMs: taken('time', parseDuration(time), 1) }),
    ...(labels === undefined ? {} : { labels }),
    ...(healthCheck === undefined
      ? {}
      : { healthCheck: taken<object | undefined>('healthCheck', healthCheckOf(healthCheck), undefined) }),
    ...(disconnect === undefined
      ? {}
      : { disconnect: taken<object | undefined>('disconnect', disconnectOf(disconnect), undefined) }),
    ...(grace === undefined ? {} : { killGraceMs: taken('grace', parseDuration(grace), 1) }),
  };
  const [first] = wrong;
  if (first !== undefined) return first;
  const spec = check(JobSpec, fields);
  if (!(spec instanceof Fault)) return spec;
  const field = fieldOf(spec);
  const told = spec.message
    .replace(/^(timeMs|killGraceMs): 0 is below 1$/, '$1: 0 is no time at all; the least is 1ms')
    .replace(/^(timeMs|killGraceMs)(?=: )/, field);
  return { field, fault: new Fault('BAD_JOB', told) };
}

function resourcesOf(
  { cpus = '1', mem = '128', disk = '0', gpus = '0' }: WrittenJob,
  taken: (field: keyof WrittenJob, value: number | Fault, otherwise: number) => number,
): Resources {
  const amounts: [name: 'cpus' | 'mem' | 'disk' | 'gpus', thousandths: number][] = [
    ['cpus', taken('cpus', cpusOf(cpus), 0)],
    ['mem', taken('mem', sizeToMb(mem), 0)],
    ['disk', taken('disk', sizeToMb(disk), 0)],
    ['gpus', taken('gpus', whole('gpus', gpus, 'from 0 on'), 0) * 1000],
  ];
  return amounts.filter(([, scalar]) => scalar > 0).map(([name, scalar]): Resource => ({ name, scalar }));
}

/** What has fields of its own. */
const OTHERS: ReadonlySet<string> = new Set(['cpus', 'mem', 'disk', 'gpus', 'ports']);

function acceleratorsOf(text = ''): Resources | Fault {
  const resources = parseResources(text);
  if (resources instanceof Fault) return resources;
  for (const { name, role, scalar, volume, revocable } of resources) {
    const isCount = scalar !== undefined && scalar % 1000 === 0;
    if (OTHERS.has(name) || !isCount || role !== undefined || volume !== undefined || revocable !== undefined)
      return new Fault(
        'BAD_RESOURCES',
        `accelerators: ${JSON.stringify(text.slice(0, 80))} is no list of them`,
        'Write it like hailo:1 or coral:2;npu:1; see mesq agents for what there is.',
      );
  }
  return resources;
}

/** A limit on memory only where somebody wrote a size: the default is a guess, which must end nobody. */
function limitsOf(
  { mem, limitMem = mem, limitCpus }: WrittenJob,
  taken: (field: keyof WrittenJob, value: number | Fault, otherwise: number) => number,
): Pick<JobSpec, 'limits'> {
  const limit = (
    field: keyof WrittenJob,
    text: string,
    read: (text: string) => number | Fault,
  ): number | 'unlimited' => (text === 'unlimited' ? text : taken(field, read(text), 1));
  const limits = {
    ...(limitCpus === undefined ? {} : { cpus: limit('limitCpus', limitCpus, cpusOf) }),
    ...(limitMem === undefined ? {} : { mem: limit('limitMem', limitMem, sizeToMb) }),
  };
  return Object.keys(limits).length === 0 ? {} : { limits };
}

function cpusOf(text: string): number | Fault {
  const thousandths = parseScalar(text);
  if (thousandths !== undefined && thousandths >= 0) return thousandths;
  const wrong = thousandths === undefined ? 'is no number' : 'is below 0';
  return new Fault('BAD_RESOURCES', `cpus: ${JSON.stringify(text)} ${wrong}`, 'Write it like 1, 0.5 or 2.25.');
}

/** `range` is what its schema allows, for people. */
function whole(field: string, text: string, range: string): number | Fault {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const shown = `${field}: ${JSON.stringify(text)}`;
  const hint = `Write a whole number ${range}, in digits.`;
  if (/^-\d+$/.test(text)) return new Fault('BAD_USAGE', `${shown} is below 0`, hint);
  if (/^\d+$/.test(text)) return new Fault('BAD_USAGE', `${shown} is more than there can be`, hint);
  return new Fault('BAD_USAGE', `${shown} is no whole number`, hint);
}

function restartOf(text = 'never'): RestartPolicy | Fault {
  const policy = RESTART_POLICIES.find((one) => one === text);
  return (
    policy ??
    new Fault(
      'BAD_USAGE',
      `restart: there is no ${JSON.stringify(text)}`,
      `Take one of ${RESTART_POLICIES.join(', ')}.`,
    )
  );
}

/** The field that a message of the schema (`argv.0: …`) is about, as people write it. */
function fieldOf({ message }: Fault): keyof WrittenJob {
  const path = /^[A-Za-z]+/.exec(message)?.[0] ?? '';
  const written: Readonly<Record<string, keyof WrittenJob>> = {
    timeMs: 'time',
    killGraceMs: 'grace',
    resources: 'cpus',
    limits: 'limitMem',
  };
  return written[path] ?? (path as keyof WrittenJob);
}
