import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { endAll, eventually, killGroup, MESQ, type Running, start, survivors } from './cluster.ts';

interface AgentRow {
  readonly name: string;
  readonly state: string;
  readonly epoch: number;
  readonly resources: { readonly total: string };
}

/** What mesq up prints with --json once everything is up. */
interface Up {
  readonly url: string;
  readonly pids: Readonly<Record<string, number>>;
}

async function upIn(folder: string, more: readonly string[] = []): Promise<{ running: Running; up: Up }> {
  const argv = ['up', '--data', folder, '--port', '0', '--http', '0', '--json', ...more];
  const running = start(process.execPath, [MESQ, ...argv]);
  const [line = ''] = await running.said(/^\{.*\}$/m);
  return { running, up: JSON.parse(line) as Up };
}

function asking(url: string, ...argv: string[]): ReturnType<typeof start>['ended'] {
  return start(process.execPath, [MESQ, ...argv], { MESQ_URL: url }).ended;
}

async function agents(url: string): Promise<AgentRow[]> {
  const { code, stdout } = await asking(url, 'agents', '--json');
  return code === 0 ? (JSON.parse(stdout) as AgentRow[]) : [];
}

test('mesq up shares the machine, starts a part again when it dies, and leaves no process behind', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-up-'));
  t.teardown(async () => {
    await endAll(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  const { running, up } = await upIn(folder, ['--agents', '3']);
  t.teardown(() => void running.process.kill('SIGKILL'));
  const there = await agents(up.url);
  t.deepEqual(there.map(({ name, state }) => `${name} ${state}`).sort(), ['a1 active', 'a2 active', 'a3 active']);
  const ports = there.map(({ resources }) => /ports:\[[^\]]*\]/.exec(resources.total)?.[0]);
  t.is(new Set(ports).size, 3, 'no port is offered twice');

  for (const part of ['a2', 'm1']) {
    process.kill(up.pids[part] ?? 0, 'SIGKILL');
    await running.said(new RegExp(`${part}\\b.*(ended|died|again)`));
    await eventually(async () => {
      const active = (await agents(up.url)).filter(({ state }) => state === 'active');
      return active.length === 3 || undefined;
    });
  }
  const { stdout, stderr } = await asking(up.url, 'run', '--cpus', '0.1', '--', 'echo', 'still here');
  t.is(stdout, 'still here\n', stderr);
  // Another start would end the same way.
  t.is((await asking(up.url, 'gone', 'a3')).code, 0);
  const [told] = await running.said(/^.*a3.*not started again.*$/m);
  t.regex(told, /a3: agent a3 was declared gone: it is not started again\. Start it with a new --data folder/);
  t.is((await running.end('SIGINT')).code, 0);
  await eventually(async () => (await survivors(folder)).length === 0 || undefined);
});

test('mesq up that is killed with SIGKILL leaves only the tasks that run; a folder that cannot be is refused', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-up-'));
  t.teardown(async () => {
    for (const pid of await survivors(folder)) killGroup(pid);
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  const { running, up } = await upIn(folder);
  const job = await asking(up.url, 'run', '--detach', '--cpus', '0.1', '--', 'sleep', '600');
  t.is(job.code, 0, job.stderr);
  await eventually(async () => {
    const shown = await asking(up.url, 'ps', job.stdout.trim(), '--json');
    t.is(shown.code, 0, shown.stderr);
    const [task] = JSON.parse(shown.stdout) as { state: string }[];
    return task?.state === 'TASK_RUNNING' || undefined;
  });
  await running.end('SIGKILL');
  for (const pid of Object.values(up.pids)) {
    await eventually(async () => /^(sh)?$/.test(await commandOf(pid)) || undefined);
  }
  const left = await survivors(folder);
  t.true(left.length > 0, 'the task runs on');
  for (const pid of left) t.regex(await commandOf(pid), /^(sh|sleep|bash)\b/);

  for (const verb of [
    ['up', '--port', '0', '--http', '0'],
    ['agent', '--master', up.url],
    ['master', '--id', 'm1'],
  ]) {
    const refused = await start(process.execPath, [MESQ, ...verb, '--data', '/proc/nope']).ended;
    t.is(refused.code, 1, refused.stderr);
    t.regex(refused.stderr, /\/proc\/nope/);
  }
});

test('Ctrl-C leaves only the tasks that run, and mesq up takes them up again; SIGTERM does the same', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-up-'));
  t.teardown(async () => {
    for (const pid of await survivors(folder)) killGroup(pid);
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  const starts = join(folder, 'starts');
  const script = `echo "$MESQ_ATTEMPT $MESQ_RESTART" >> ${starts}; until [ -e ${folder}/go ]; do sleep 0.05; done; exit 7`;
  let job = '';
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { running, up } = await upIn(folder, ['--agents', '1']);
    t.teardown(() => void running.process.kill('SIGKILL'));
    if (job === '') {
      const { stdout } = await asking(up.url, 'run', '--detach', '--cpus', '0.1', '--', 'sh', '-c', script);
      job = stdout.trim();
    }
    await eventually(() => readFile(starts, 'utf8').catch(() => undefined));
    t.is((await running.end(signal)).code, 0);
    const left = await survivors(folder);
    t.true(left.length > 0, 'the task runs on');
    for (const pid of left) t.regex(await commandOf(pid), /^(sh|sleep|bash)\b/, 'nothing of ours is left');
  }
  const { running, up } = await upIn(folder, ['--agents', '1']);
  t.teardown(() => void running.process.kill('SIGKILL'));
  await writeFile(join(folder, 'go'), '');
  t.is((await asking(up.url, 'wait', job)).code, 7);
  t.is(await readFile(starts, 'utf8'), '0 0\n');
  t.is((await running.end('SIGINT')).code, 0);
  await eventually(async () => (await survivors(folder)).length === 0 || undefined);
});

async function commandOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => 'sh');
  return text.replaceAll('\0', ' ');
}
