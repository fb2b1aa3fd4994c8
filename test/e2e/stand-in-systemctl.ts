/**
 * `systemctl` for one unit below a root, as much of it as an agent's service asks for: Environment, EnvironmentFile, ExecStart,
 * RuntimeDirectory, Restart=always and KillMode=process. `supervise` is its other half: systemd itself.
 * Arguments: the root, then what systemctl takes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [root = '', ...words] = process.argv.slice(2);
const verb = words.find((word) => !word.startsWith('-'));
const unit = join(root, 'etc/systemd/system/mesq-agent.service');
const runtime = join(root, 'run/mesq-agent');
const pidFile = join(root, 'run/systemd/supervisor.pid');
const AGAIN_MS = 200;

function setting(name: string): string {
  const value = new RegExp(`^${name}=(.*)$`, 'm').exec(readFileSync(unit, 'utf8'))?.[1];
  if (value === undefined) throw new Error(`the unit has no ${name}`);
  return value;
}

/** systemd.syntax(7): words in double quotes, `%` and `$` doubled. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    (quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '').replace(/%%/g, '%').replace(/\$\$/g, '$'),
  );
}

/** A path of the machine, where this root has it. */
const here = (word: string): string => (/^\/(opt|etc|var)\//.test(word) ? join(root, word) : word);

function supervisor(): number | undefined {
  if (!existsSync(pidFile)) return undefined;
  const pid = Number(readFileSync(pidFile, 'utf8'));
  try {
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}

async function gone(pid: number): Promise<void> {
  while (supervisor() === pid) await new Promise((again) => setTimeout(again, 20));
}

async function stop(): Promise<void> {
  const pid = supervisor();
  if (pid === undefined) return;
  process.kill(pid, 'SIGTERM');
  await gone(pid);
}

function begin(): void {
  const log = openSync(join(root, 'journal'), 'a');
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), root, 'supervise'], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  mkdirSync(join(root, 'run/systemd'), { recursive: true });
  writeFileSync(pidFile, String(child.pid));
  child.unref();
}

async function supervise(): Promise<void> {
  if (setting('KillMode') !== 'process' || setting('Restart') !== 'always') throw new Error('not what was asked for');
  let stopping = false;
  const file = here(setting('EnvironmentFile').replace(/^-/, ''));
  const more = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  const lines = [setting('Environment'), ...more];
  const given = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const [program = '', ...argv] = wordsOf(setting('ExecStart')).map(here);
  let child: ReturnType<typeof spawn> | undefined;
  process.on('SIGTERM', () => {
    stopping = true;
    child?.kill('SIGTERM');
  });
  while (!stopping) {
    rmSync(runtime, { recursive: true, force: true });
    mkdirSync(runtime, { recursive: true });
    const { PATH, HOME } = process.env;
    child = spawn(program, argv, { stdio: 'inherit', env: { PATH, HOME, ...given, RUNTIME_DIRECTORY: runtime } });
    const [code] = (await Promise.race([once(child, 'exit'), once(child, 'error')])) as [unknown];
    if (existsSync(root)) appendFileSync(join(root, 'journal'), `main process exited, ${String(code)}\n`);
    if (setting('RestartPreventExitStatus').split(' ').includes(String(code)) || !existsSync(root)) break;
    if (!stopping) await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
  rmSync(runtime, { recursive: true, force: true });
}

switch (verb) {
  case 'supervise':
    await supervise();
    break;
  case 'daemon-reload':
    break;
  case 'start':
    if (supervisor() === undefined) begin();
    break;
  case 'restart':
    await stop();
    begin();
    break;
  case 'stop':
    await stop();
    break;
  case 'is-active':
    process.exitCode = supervisor() === undefined ? 3 : 0;
    break;
  default:
    throw new Error(`systemctl ${words.join(' ')} is not stood in for`);
}
