import { Fault } from '../protocol/faults.ts';
import { EXIT } from './exit-codes.ts';
import { runJob } from './follow.ts';
import { addJobOptions, type JobOptions, specOfOptions } from './job-options.ts';
import { printJson, printLine } from './output.ts';
import { JOB_ID_LENGTH, submitJob } from './submit-job.ts';
import type { Verb } from './verb.ts';

/** `mesq run -- CMD`: a job of one command, followed to its end; exits as it exits. */
export const run: Verb = {
  faultExit: EXIT.cluster,
  examples: [
    'mesq run -- echo hello',
    'mesq run --cpus 2 --mem 1G --time 10m -- make -C /srv/project',
    'mesq run --count 20 -- sh -c \'echo "part $MESQ_TASK_INDEX"\'',
    'mesq run --constraint board==jetson-orin-nano --gpus 1 -- ./infer',
    'mesq run --image docker.io/library/busybox:1.37 -- echo hello   # in a container',
    'mesq run --artifact https://host/model.tar.gz,path=model,extract -- ./infer model',
    'mesq run --detach -- ./long-job       # prints its id, and returns',
  ],
  configure: (command) => {
    addJobOptions(command);
    command
      .option('-d, --detach', "print the job's id and leave it to the cluster")
      .argument('[command...]', 'behind --')
      .usage('[options] -- COMMAND [ARGUMENT…]')
      .passThroughOptions();
  },
  run: async (context, command) => {
    const { terminal, options } = context;
    const written = command.opts<JobOptions & { detach?: boolean; json?: boolean }>();
    const spec = await specOfOptions(terminal.randomWord(JOB_ID_LENGTH), jobPart(written), command.args);
    if (spec instanceof Fault) return spec;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    if (written.detach !== true) return runJob(context, connection, spec);
    const submitted = await submitJob(connection.client, spec, options.timeoutMs);
    if (submitted instanceof Fault) return submitted;
    if (options.json) await printJson(context, { job: spec.job });
    else await printLine(context, spec.job);
    return 0;
  },
};

function jobPart(written: JobOptions): JobOptions {
  const {
    name,
    count,
    cpus,
    mem,
    disk,
    gpus,
    accelerators,
    ports,
    env,
    constraint,
    restart,
    retries,
    time,
    grace,
    requeue,
    image,
    pull,
    network,
  } = written;
  const { limitCpus, limitMem, artifact } = written;
  const needs = { name, count, cpus, mem, limitCpus, limitMem, disk, gpus, accelerators, ports, env, constraint };
  const part = { ...needs, restart, retries, time, grace, requeue, image, pull, network, artifact };
  return Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined));
}
