import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { endAll, eventually, start, survivors } from './e2e/cluster.ts';

/** What a package may hold, besides what npm always takes. */
const SHIPPED = [
  /^package\/(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
  /^package\/docs\/(decisions\/)?[\w-]+\.md$/,
  /^package\/build\/cli\/(main|chunk-[\w-]+)\.js$/,
  /^package\/build\/(sdk|protocol|io)\/[\w/-]+\.(js|d\.ts)$/,
];

const PROGRAM = `import { createSchedulerDriver, formatResources, parseResources, type Resources } from 'mesquite/sdk';
const parsed = parseResources('cpus:1.5;mem:64');
export const resources: Resources = 'code' in parsed ? [] : parsed;
console.log(formatResources(resources), typeof createSchedulerDriver);
`;

function npm(folder: string, ...argv: string[]): string {
  return execFileSync('npm', [...argv, '--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline'], {
    cwd: folder,
    encoding: 'utf8',
  });
}

test('packed, installed in an empty folder and used: the command, a cluster, the SDK and its types', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mesq-package-'));
  t.teardown(async () => {
    await endAll(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  // What has been built is packed as it is: building again would pull the files from under the other tests.
  const [packed] = JSON.parse(npm('.', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder)) as [
    { filename: string },
  ];
  const tarball = join(folder, packed.filename);
  const files = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
  t.deepEqual(
    files.filter((file) => !SHIPPED.some((pattern) => pattern.test(file))),
    [],
  );
  t.true(files.includes('package/docs/jobs.md'), 'messages name it');

  await writeFile(join(folder, 'package.json'), '{"name":"user","private":true,"type":"module"}');
  npm(folder, 'install', tarball);
  const mesq = join(folder, 'node_modules/.bin/mesq');
  const { version } = JSON.parse(execFileSync('cat', ['package.json'], { encoding: 'utf8' })) as { version: string };
  t.is(execFileSync(mesq, ['--version'], { encoding: 'utf8' }).trim(), version);

  const up = start(mesq, [
    'up',
    '--data',
    join(folder, 'data'),
    '--port',
    '0',
    '--http',
    '0',
    '--agents',
    '1',
    '--json',
  ]);
  const [line = ''] = await up.said(/^\{.*\}$/m);
  const { url } = JSON.parse(line) as { url: string };
  const { code, stdout } = await start(mesq, ['run', '--cpus', '0.1', '--', 'echo', 'hi'], { MESQ_URL: url }).ended;
  t.deepEqual([code, stdout], [0, 'hi\n']);

  // The SDK: the example as a user would have it, compiled against the types and run on that cluster.
  await writeFile(join(folder, 'program.ts'), PROGRAM);
  const example = ['main.ts', 'test-framework.ts'];
  for (const file of example) await cp(join('examples/test-framework', file), join(folder, file));
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2023'];
  const types = ['--rewriteRelativeImportExtensions', '--types', 'node', '--typeRoots', resolve('node_modules/@types')];
  execFileSync(
    process.execPath,
    [resolve('node_modules/typescript/bin/tsc'), ...strict, ...types, 'program.ts', 'main.ts'],
    {
      cwd: folder,
    },
  );
  const printed = execFileSync(process.execPath, ['program.js'], { cwd: folder, encoding: 'utf8' });
  t.is(printed, 'cpus:1.5;mem:64 function\n');
  const framework = await start(process.execPath, [join(folder, 'main.js'), '--url', url]).ended;
  t.is(framework.code, 0, framework.stderr);
  t.is(framework.stdout.match(/TASK_FINISHED/g)?.length, 5);

  t.is((await up.end('SIGINT')).code, 0);
  await eventually(async () => (await survivors(folder)).length === 0 || undefined);
});
