import type { Artifact } from '../protocol/artifact.ts';
import { artifactPlace } from '../protocol/artifact-place.ts';
import { blobOf } from '../protocol/blob.ts';
import { Fault } from '../protocol/faults.ts';
import { type JobSpec, type JobUpload, type JobView, parseTaskName } from '../protocol/job.ts';
import { formatResources } from '../protocol/resources.ts';
import { shownUri } from '../protocol/shown-uri.ts';
import { askForJob, noJob } from './job-name.ts';
import { jsonOfJob } from './jobs.ts';
import { isoTime, printJson } from './output.ts';
import { printable } from './printable.ts';
import { listTasks } from './ps.ts';
import { formatTable } from './table.ts';
import { jsonOfTask, taskColumns } from './task-list.ts';
import { contentOf } from './uploads.ts';
import type { Verb } from './verb.ts';

/** `mesq job ID`: one job, what it asks for, and its tasks. */
export const job: Verb = {
  examples: ['mesq job k3v9x2ab'],
  configure: (command) => {
    command.argument('<job>', "the job's id");
  },
  run: async (context, command) => {
    const [text = ''] = command.args;
    const name = parseTaskName(text);
    if (name === undefined) return noJob(text);
    const { job: id } = name;
    const [answer, tasks] = await Promise.all([askForJob(context, id), listTasks(context, id)]);
    if (answer instanceof Fault) return answer;
    if (tasks instanceof Fault) return tasks;
    const { terminal, options } = context;
    if (options.json) {
      const spec = { ...answer.spec, resources: formatResources(answer.spec.resources) };
      await printJson(context, { ...jsonOfJob(answer.job), spec, list: tasks.map(jsonOfTask) });
      return 0;
    }
    await terminal.out.write(`${describe(answer.job, answer.spec).map(printable).join('\n')}\n\n`);
    await terminal.out.write(formatTable(tasks, taskColumns(terminal.clock.wall()), terminal.out));
    return 0;
  },
};

function describe(view: JobView, spec: JobSpec): string[] {
  const { total, pending, running, finished, failed, killed } = view.tasks;
  const ports = spec.ports === 0 ? '' : `, ${spec.ports} ports`;
  return [
    `job       ${view.id}${view.name === '' ? '' : ` (${view.name})`} of ${view.owner}`,
    `state     ${view.state}`,
    `tasks     ${total}: ${pending} pending, ${running} running, ${finished} finished, ${failed - killed} failed${killed === 0 ? '' : `, ${killed} killed`}`,
    `command   ${spec.argv.map(quoted).join(' ')}`,
    ...(spec.container === undefined ? [] : [`image     ${spec.container.image}`]),
    ...(spec.artifacts ?? []).map((artifact, at) => describeArtifact(artifact, uploadOf(spec, at))),
    `needs     ${formatResources(spec.resources)}${ports}, each`,
    ...(spec.constraints.length === 0 ? [] : [`where     ${spec.constraints.join(', ')}`]),
    `created   ${isoTime(view.created)}`,
    ...(view.finished === null ? [] : [`finished  ${isoTime(view.finished)}`]),
  ];
}

function uploadOf({ uploads = [] }: JobSpec, at: number): JobUpload | undefined {
  return uploads.find(({ artifact }) => artifact === at);
}

/** What it is, and where in the sandbox: `upload    src → app/ (5.1 MB in 110 files)`. */
function describeArtifact(artifact: Artifact, upload: JobUpload | undefined): string {
  const { uri, extract, executable } = artifact;
  const what = blobOf(uri) === undefined ? 'artifact' : 'upload  ';
  const place = artifactPlace(artifact) ?? '';
  const into = extract ? `${place === '' ? '.' : place}/` : place;
  const content = upload === undefined ? '' : ` (${contentOf(upload.size, upload.files)})`;
  return `${what}  ${upload?.from ?? shownUri(uri)} → ${into}${executable ? ', executable' : ''}${content}`;
}

/** As a shell would take it. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
