import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Cluster, MESQ, start } from './cluster.ts';

/** `$ command` and the lines that it prints, of every `console` block. */
function examples(markdown: string): { command: string; prints: string }[] {
  const blocks = [...markdown.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block = '']) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .filter((part) => part !== '')
      .map((part) => ({ command: part.split('\n')[0] ?? '', prints: part.split('\n').slice(1).join('\n') })),
  );
}

test('what README shows is what happens', async (t) => {
  const shown = examples(await readFile('README.md', 'utf8'));
  t.true(shown.length > 3);
  const cluster = await Cluster.start(t);
  const path = join(cluster.folder, 'bin');
  await mkdir(path);
  await symlink(MESQ, join(path, 'mesq'));
  const environment = { MESQ_URL: cluster.url, PATH: `${path}:${process.env['PATH']}` };
  for (const { command, prints } of shown) {
    const { stdout, stderr } = await start('sh', ['-c', command], environment).ended;
    const sorted = (text: string): string => text.split('\n').sort().join('\n');
    t.is(sorted(stdout), sorted(prints), `${command}\n${stderr}`);
  }
});
