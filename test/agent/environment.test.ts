import { readFileSync } from 'node:fs';
import test from 'ava';
import * as v from 'valibot';
import { applyRecord, emptyState } from '../../agent/checkpoint/state.ts';
import { environmentOf } from '../../agent/executors/command.ts';
import { createJob } from '../../frameworks/batch/job.ts';
import { launchOf } from '../../frameworks/batch/live-job.ts';
import { TaskInfo } from '../../protocol/task.ts';
import { spec } from '../frameworks/batch-world.ts';
import { resourcesOf } from '../resources-of.ts';

function environment(given: Record<string, string>, gpus = 1): Record<string, string> {
  const resources = resourcesOf('cpus:0.5;mem:64;disk:10;gpus:1;ports:[31000-31000,31005-31005]');
  const job = createJob(
    spec({ job: 'j1', count: 3, environment: given, limits: { cpus: 1_000, mem: 128_000 } }),
    'ann',
    0,
  );
  const launch = launchOf(job, 2, 1, resources, [31_000, 31_005]);
  const state = emptyState();
  const info: TaskInfo = v.parse(TaskInfo, launch);
  const own = { CUDA_VISIBLE_DEVICES: 'GPU-1', NVIDIA_VISIBLE_DEVICES: 'GPU-1' };
  const devices = [{ kind: 'gpus', id: 'GPU-1', slots: 1, environment: own, nodes: ['/dev/nvidia0'] }];
  const chosen = devices.slice(0, gpus);
  applyRecord(state, { kind: 'ACCEPTED', framework: 'batch', epoch: 1, info, devices: chosen });
  const run = state.runs.get('batch/j1.2.1');
  if (run === undefined) throw new Error('the run was not taken');
  return environmentOf(run, { agentName: 'pi-1', agent: 'agent-1', sandbox: '/sandbox', volumes: '/volumes', devices });
}

test('a task is told every variable of docs/jobs.md, and no other', (t) => {
  const told = new Set(readFileSync('docs/jobs.md', 'utf8').match(/MESQ_[A-Z]+(?:_[A-Z]+)*\d*/g) ?? []);
  const names = Object.keys(environment({})).filter((name) => name.startsWith('MESQ_'));
  t.deepEqual(names.sort(), [...told].sort());
});

test('what a job gives its tasks replaces nothing that the cluster says', (t) => {
  const plain = environment({});
  const lies = Object.fromEntries(Object.keys(plain).map((name) => [name, 'a lie']));
  t.deepEqual(environment({ ...lies, FOO: 'bar' }), { ...plain, FOO: 'bar' });
});

test('a job that names the GPUs it would like is given none of them by that', (t) => {
  const none = { CUDA_VISIBLE_DEVICES: '', NVIDIA_VISIBLE_DEVICES: 'void' };
  t.like(environment({ CUDA_VISIBLE_DEVICES: '0', NVIDIA_VISIBLE_DEVICES: 'all' }, 0), none);
});
