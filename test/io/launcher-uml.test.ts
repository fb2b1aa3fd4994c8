import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import test from 'ava';

/** Debian's user-mode-linux: a kernel with control groups of version 2 alone, in a process of this machine. */
const KERNEL = 'linux';
const MINUTES = 15;

/** All that is written goes to memory below /run; the guest sees this machine's own files, and cannot change them. */
const init = (node: string, script: string): string => `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run LANG=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
'${node}' '${script}' 2>&1
busybox poweroff -f
`;

function find(program: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

test('control groups of version 2, on a kernel that has no others', async (t) => {
  const kernel = find(KERNEL);
  const missing = [kernel === undefined ? 'user-mode-linux' : '', find('busybox') === undefined ? 'busybox' : ''];
  if (kernel === undefined || missing.some((name) => name !== '')) {
    const what = missing.filter((name) => name !== '').join(' and ');
    t.not(process.env['CI'], 'true', `${what} must be installed`);
    t.log(`SKIPPED: no ${what} here`);
    return;
  }
  t.timeout(MINUTES * 60_000);
  const folder = mkdtempSync(join(tmpdir(), 'mesq-uml-'));
  writeFileSync(
    join(folder, 'init'),
    init(process.execPath, fileURLToPath(new URL('cgroup-guest.js', import.meta.url))),
    { mode: 0o700 },
  );
  const guest = spawn(
    kernel,
    [
      ...['mem=512M', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${join(folder, 'init')}`],
      ...['con=null', 'con0=null,fd:1', 'quiet', `uml_dir=${folder}`, 'umid=guest'],
    ],
    // In a session of its own: what the kernel sends to stopped jobs of an orphaned group would wake its processes.
    { stdio: ['ignore', 'pipe', 'inherit'], detached: true, cwd: folder },
  );
  try {
    const lines: string[] = [];
    for await (const line of createInterface(guest.stdout)) {
      lines.push(line.trimEnd());
      if (/^(not )?ok /.test(line)) t.log(line.trimEnd());
      if (line.startsWith('end ')) break;
    }
    const said = (start: string): string[] => lines.filter((line) => line.startsWith(start));
    t.like(JSON.parse(said('has ')[0]?.slice('has '.length) ?? '{}'), { cgroups: 'v2', cpu: true, memory: 'task' });
    t.deepEqual(said('not ok '), []);
    t.true(said('ok ').length >= 10, lines.join('\n'));
    t.deepEqual(said('end '), [`end ${said('ok ').length}`]);
  } finally {
    if (guest.pid !== undefined) end(guest.pid);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** The kernel and all processes of its guest, which are processes here. */
function end(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It had powered itself off.
  }
}
