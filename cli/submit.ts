import { Fault } from '../protocol/faults.ts';
import { printJson, printLine } from './output.ts';
import { JOB_ID_LENGTH, submitJob } from './submit-job.ts';
import { prepareUploads, withUploads } from './uploads.ts';
import type { Verb } from './verb.ts';

/** `mesq submit FILE`: a job file, YAML or JSON; prints the job's id. */
export const submit: Verb = {
  examples: ['mesq submit job.yaml', 'echo \'{"command": ["uname", "-a"], "count": 3}\' | mesq submit -'],
  configure: (command) => {
    command.argument('<file>', 'YAML or JSON; - is standard input');
  },
  run: async (context, command) => {
    const [file = ''] = command.args;
    const { terminal, options } = context;
    const text = await terminal.readText(file);
    if (text instanceof Fault) return text;
    if (text === undefined)
      return new Fault('BAD_JOB', `there is no file ${file}`, 'Check the path; - reads standard input.');
    const { readJobFile, uploadsOfJobFile } = await import('./job-file.ts');
    const spec = await readJobFile(terminal.randomWord(JOB_ID_LENGTH), text, file === '-' ? 'standard input' : file);
    if (spec instanceof Fault) return spec;
    const uploads = await prepareUploads(context, uploadsOfJobFile(text, file === '-' ? '' : file));
    if (uploads instanceof Fault) return uploads;
    const connection = await context.connect();
    if (connection instanceof Fault) return connection;
    const whole = await withUploads(context, connection.client, spec, uploads);
    if (whole instanceof Fault) return whole;
    const submitted = await submitJob(connection.client, whole, context.answerMs());
    if (submitted instanceof Fault) return submitted;
    if (options.json) await printJson(context, { job: spec.job });
    else await printLine(context, spec.job);
    return 0;
  },
};
