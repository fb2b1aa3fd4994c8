import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Fault } from '../../sdk/index.ts';
import { BAD_LINK, bootBoard, layGuestCable, shellWord, slowBoardMissing } from '../../tools/slow-board.ts';
import { Cluster, MESQ } from './cluster.ts';
import { securedMaster } from './secured-master.ts';

const missing = slowBoardMissing();
/** Takes 64 MB and more, and is done. */
const HUNGRY = ['awk', 'BEGIN { s = "x"; while (length(s) < 64 * 1048576) s = s s; print length(s) }'];
const OWN_GROUP = '/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)';

if (missing !== undefined && process.env['CI'] !== 'true') {
  test.skip(`a slow board with a kernel of its own: ${missing}`, () => undefined);
} else {
  test('a slow board with a kernel of its own, behind a slow link that loses packets and is cut', async (t) => {
    const cable = layGuestCable();
    t.teardown(() => cable.remove());
    const cluster = await Cluster.start(t, {});
    const { secure, certificate } = await securedMaster(cluster, cable.address);
    const client = await cluster.client();
    const made = await client.request('token-create', { role: 'agent', name: 'board' });
    if (made instanceof Fault) throw made;
    const agent = [process.execPath, MESQ, 'agent', '--name', 'board', '--data', '/run/agent', '--log', 'debug'];
    const where = ['--master', secure, '--ca', certificate, '--resources', 'cpus:1;mem:256', '--containers', 'none'];
    const board = bootBoard({
      cable,
      link: BAD_LINK,
      run: `MESQ_TOKEN=${shellWord(made.token)} ${[...agent, ...where].map(shellWord).join(' ')}`,
    });
    t.teardown(() => board.end());
    const [, kernel = ''] = await board.heard(/board of kernel (\S+)/);
    await board.heard(/registered/);

    const looks = `uname -r; cat ${OWN_GROUP}/memory.max ${OWN_GROUP}/cpu.max; tc qdisc show dev vec0 root`;
    const looked = await cluster.mesq(
      'run',
      '--mem',
      '24',
      '--cpus',
      '0.5',
      '--limit-cpus',
      '0.5',
      '--',
      'sh',
      '-c',
      looks,
    );
    t.is(looked.code, 0, looked.stderr);
    const [release, memory, cpu, link = ''] = looked.stdout.split('\n');
    t.deepEqual([release, memory, cpu], [kernel, String(24 * 1_048_576), '50000 100000']);
    t.regex(link, /delay 150ms loss 2% rate 256Kbit/);

    const greedy = await cluster.mesq('run', '--mem', '24', '--', ...HUNGRY);
    t.is(greedy.code, 137, greedy.stderr);
    t.regex(greedy.stderr, /more memory than its limit/);

    const killed = await cluster.submit('--mem', '16', '--', 'sleep', '1000');
    await cluster.task(killed, 'TASK_RUNNING');
    t.is((await cluster.mesq('cancel', killed)).code, 0);
    await cluster.task(killed, 'TASK_KILLED');

    // It ends while nobody hears it: a file of this machine's, which the board sees, says when.
    const gate = join(cluster.folder, 'gate');
    const script = `until [ -e ${gate} ]; do sleep 0.2; done; echo over >/proc/1/fd/1; exit 7`;
    const survivor = await cluster.submit('--mem', '16', '--', 'sh', '-c', script);
    await cluster.task(survivor, 'TASK_RUNNING');
    cable.cut();
    await writeFile(gate, '');
    await board.heard(/^over$/m);
    t.is((await cluster.tasks(survivor))[0]?.state, 'TASK_RUNNING');
    await board.heard(/ disconnected /);
    cable.mend();
    t.is((await cluster.mesq('wait', survivor)).code, 7);
    t.like((await cluster.tasks(survivor))[0], { attempt: 0, state: 'TASK_FAILED', exitCode: 7 });

    t.log((await cluster.mesq('run', '--mem', '16', '--', 'tc', '-s', 'qdisc', 'show', 'dev', 'vec0', 'root')).stdout);
  });
}
