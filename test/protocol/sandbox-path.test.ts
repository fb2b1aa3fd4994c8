import test from 'ava';
import { check } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { SandboxPath } from '../../protocol/sandbox-path.ts';

test('a path in a sandbox is relative, short, and leads down', (t) => {
  for (const path of ['a', 'out/a.csv', './a', '..a/b..', 'a//b', ' ', 'x'.repeat(512)])
    t.false(check(SandboxPath, path) instanceof Fault, path);
  for (const path of ['', '/etc/passwd', '..', '../a', 'a/../b', 'a/..', 'a\0b', 'x'.repeat(513), 7])
    t.true(check(SandboxPath, path) instanceof Fault, String(path));
});
