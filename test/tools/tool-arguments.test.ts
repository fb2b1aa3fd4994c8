import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import test from 'ava';

const BUILD = resolve(import.meta.dirname, '../..');

function ran(tool: string, ...args: readonly string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [resolve(BUILD, tool), ...args], { encoding: 'utf8' });
  return { code: status, out: stdout, err: stderr };
}

for (const [tool, name] of [
  ['tools/deb.js', 'deb'],
  ['tools/image.js', 'image'],
  ['bench/main.js', 'bench'],
] as const) {
  test(`npm run ${name} says how it is called, and refuses what there is not with 2 and no stack`, (t) => {
    const help = ran(tool, '--help');
    t.is(help.code, 0);
    t.true(help.out.startsWith(`usage: npm run ${name} -- [`), help.out);
    t.is(help.err, '');
    const unknown = ran(tool, '--nosuch');
    t.is(unknown.code, 2);
    t.regex(unknown.err, /^error: Unknown option '--nosuch'.*\nusage: /);
    const vax = name === 'bench' ? ran(tool, 'vax') : ran(tool, '--arch', 'vax');
    t.is(vax.code, 2);
    t.regex(vax.err, /^error: there is no (architecture|part) vax\nusage: /);
    t.notRegex(vax.err, /\n\s+at /);
  });
}
