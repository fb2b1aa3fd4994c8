import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';

const COMMAND = join(import.meta.dirname, '../../tools/sim.js');

for (const [asked, problem] of [
  [['--seed', 'abc'], /^--seed is a whole number, not abc$/],
  [['--minutes', 'many'], /^--minutes is a number, not many$/],
  [['--only', 'paxos'], /^--only is cluster or raft, not paxos$/],
  [['--speed', '3'], /^Unknown option '--speed'/],
] as const) {
  test(`npm run sim -- ${asked.join(' ')} is refused in words`, (t) => {
    const { status, stderr } = spawnSync(process.execPath, [COMMAND, ...asked], { encoding: 'utf8' });
    t.is(status, 2);
    t.regex(stderr.trim(), problem);
    t.notRegex(stderr, /^ +at /m);
  });
}
