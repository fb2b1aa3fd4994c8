import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

/** Where tools of boards are that a service's PATH may leave out: vcgencmd in old images, nvpmodel and tegrastats. */
const MORE_FOLDERS = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin', '/opt/vc/bin'];

/** Programs with their arguments that were given up and have not ended: in the kernel, which no signal reaches. */
const stuck = new Set<string>();

/** As `DeviceFiles.run`; one that is stuck is not started beside itself again and again. The program is the first of that name in PATH, by its absolute path: never the working folder's. */
export async function runProgram(
  program: string,
  argv: readonly string[],
  maxBytes: number,
  timeoutMs: number,
): Promise<Uint8Array | undefined> {
  const key = [program, ...argv].join('\0');
  if (stuck.has(key)) return undefined;
  const path = await located(program);
  if (path === undefined) return undefined;
  return await new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    let timer: NodeJS.Timeout | undefined;
    // Tools translate what they say; and a group of its own, so that what they start goes with them.
    const environment = { PATH: process.env['PATH'], LC_ALL: 'C' };
    const child = spawn(path, argv, {
      cwd: '/',
      env: environment,
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
      windowsHide: true,
    });
    const end = (): void => {
      clearTimeout(timer);
      child.stdout.destroy();
      // One that no signal reaches, in the kernel, must not keep the agent's process from ending.
      child.unref();
      resolve(new Uint8Array(Buffer.concat(chunks).subarray(0, maxBytes)));
    };
    const cutShort = (): void => {
      if (child.exitCode === null && child.signalCode === null) {
        stuck.add(key);
        child.once('exit', () => stuck.delete(key));
      }
      try {
        // With what it has started, which may outlive it and hold its output open.
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // All of it ended by itself meanwhile.
      }
      end();
    };
    timer = setTimeout(cutShort, timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= maxBytes) cutShort();
    });
    child.on('close', end);
    child.on('error', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}

async function located(program: string): Promise<string | undefined> {
  if (program.includes('/')) return undefined;
  const folders = [...(process.env['PATH'] ?? '').split(':').filter(isAbsolute), ...MORE_FOLDERS];
  for (const folder of new Set(folders)) {
    const path = join(folder, program);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this one.
    }
  }
  return undefined;
}
