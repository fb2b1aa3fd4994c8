import type { Artifact } from '../protocol/artifact.ts';
import { artifactPlace } from '../protocol/artifact-place.ts';
import { blobOf } from '../protocol/blob.ts';
import type { JobSpec, JobUpload, JobView } from '../protocol/job.ts';
import { formatScalar } from '../protocol/resource-scalar.ts';
import { formatResources } from '../protocol/resources.ts';
import { shownUri } from '../protocol/shown-uri.ts';
import type { Disconnect } from '../protocol/task.ts';
import { isoTime } from './output.ts';
import { contentOf } from './uploads.ts';

const UNITS: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
];

/**
 * A job in lines of a name and a text, for people. What was not asked for has no line; of its environment, which may
 * hold secrets, only names are shown.
 */
export function describeJob(view: JobView, spec: JobSpec): string[] {
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
    ...describeWishes(spec),
    `created   ${isoTime(view.created)}`,
    ...(view.finished === null ? [] : [`finished  ${isoTime(view.finished)}`]),
  ];
}

function describeWishes(spec: JobSpec): string[] {
  const { environment, limits = {}, restart, retries, requeue, timeMs, killGraceMs, disconnect } = spec;
  const names = Object.keys(environment);
  const most = Object.entries(limits).map(([name, limit]) =>
    typeof limit === 'number' ? `${name}:${formatScalar(limit)}` : `${name}:${limit}`,
  );
  const lost = disconnect === undefined ? [] : describeDisconnect(disconnect);
  return [
    ...(most.length === 0 ? [] : [`limits    ${most.join(';')}, each`]),
    ...(names.length === 0 ? [] : [`env       ${names.join(', ')}`]),
    ...(timeMs === undefined ? [] : [`time      at most ${durationText(timeMs)} an attempt`]),
    ...(killGraceMs === undefined ? [] : [`grace     ${durationText(killGraceMs)} from SIGTERM to SIGKILL`]),
    ...(retries === 0 ? [] : [`retries   ${retries}`]),
    ...(restart === 'never' ? [] : [`restart   ${restart}`]),
    ...(requeue ? [] : ['requeue   never']),
    ...(lost.length === 0 ? [] : [`unreached ${lost.join(', ')}`]),
  ];
}

function describeDisconnect({ lostAfterMs, stopOnClientAfterMs, replace, reconcile }: Disconnect): string[] {
  return [
    ...(lostAfterMs === undefined ? [] : [`lost after ${durationText(lostAfterMs)}`]),
    ...(stopOnClientAfterMs === undefined ? [] : [`stopped by its agent after ${durationText(stopOnClientAfterMs)}`]),
    ...(replace === true ? ['replaced at once'] : []),
    ...(reconcile === undefined ? [] : [reconcile]),
  ];
}

/** As it would be written: in the largest unit that holds it whole. */
function durationText(ms: number): string {
  const [unit = 'ms', length = 1] = UNITS.find(([, each]) => ms >= each && ms % each === 0) ?? [];
  return `${ms / length}${unit}`;
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
