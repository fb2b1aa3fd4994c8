import test from 'ava';
import { fetchNode } from '../../tools/deb/fetch-node.ts';
import { Cluster, MESQ, start } from './cluster.ts';
import { foreignNode } from './foreign-node.ts';

test('an agent on arm64, under qemu-user, joins a master of this machine and runs a task', async (t) => {
  const skip = (why: string): void => {
    if (process.env['CI'] === 'true') t.fail(why);
    else t.log(`skipped: ${why}`);
    t.pass();
  };
  const node = await fetchNode('arm64', process.env['MESQ_NODE_CACHE'] ?? 'node_modules/.cache/mesq-node').catch(
    (error: Error) => error,
  );
  if (node instanceof Error) return skip(node.message);
  const foreign = foreignNode('arm64', node.program);
  if (foreign instanceof Error) return skip(foreign.message);
  const cluster = await Cluster.start(t, {});
  const [program = '', ...argv] = foreign;
  const agent = start(program, [
    ...[...argv, MESQ, 'agent', '--master', cluster.url, '--name', 'pi', '--data', cluster.dataOf('pi')],
    ...['--resources', 'cpus:1;mem:256'],
  ]);
  cluster.agents.set('pi', agent);
  await cluster.active('pi');
  const [shown] = await cluster.json<{ attributes: Record<string, string> }[]>('agents');
  t.is(shown?.attributes['arch'], 'arm64');
  const done = await cluster.mesq('run', '--', 'sh', '-c', 'echo from the board; exit 3');
  t.is(done.stdout, 'from the board\n', done.stderr);
  t.is(done.code, 3);
  t.is((await agent.end('SIGTERM')).code, 0, 'it leaves politely');
});
