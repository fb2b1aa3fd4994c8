import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { SchedulerDriver } from '../../sdk/index.ts';
import { connectScheduler } from '../../sdk/node.ts';
import { Cluster, type Ended } from '../e2e/cluster.ts';
import { matchesGolden } from '../golden.ts';

/** Commands and what they answered, as a person sees them, with what changes from run to run named instead. */
class Session {
  readonly #cluster: Cluster;
  readonly #token: string;
  readonly #names = new Map<string, string>();
  text = '';

  /** Asks with a token, so that the owner's name is the same on every machine. */
  constructor(cluster: Cluster, token: string) {
    this.#cluster = cluster;
    this.#token = token;
  }

  /** From now on this is shown by that name. */
  name(what: string, as: string): void {
    this.#names.set(what, as);
  }

  async quietly(...argv: string[]): Promise<string> {
    return (await this.#run(argv)).stdout;
  }

  async mesq(...argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#run(argv);
    const shown = argv.map((word) => (/^[\w./:=,@-]+$/.test(word) ? word : `'${word}'`)).join(' ');
    this.text += this.#named(
      `$ mesq ${shown}\n${stdout}${stderr === '' ? '' : stderr.replace(/^/gm, '! ').replace(/! $/, '')}`,
    );
    this.text += `→ ${code}\n\n`;
    return stdout;
  }

  #run(argv: readonly string[]): Promise<Ended> {
    return this.#cluster.spawn(argv, { COLUMNS: '100', MESQ_TOKEN: this.#token.trim() }).ended;
  }

  #named(text: string): string {
    let named = text;
    for (const [what, as] of this.#names) named = named.replaceAll(what, as);
    return (
      named
        .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
        .replace(/\b[a-z0-9]{8}(?=\.\d)/g, 'JOB')
        // What was suppressed a moment before is revived by the job itself, and a start takes its time: on a busy machine both are seen.
        .replace(/^! waiting: batch has suppressed offers .*\n/gm, '')
        .replace(/^! placed on agent \S+, which has not begun it yet\n/gm, '')
        .replace(/(leader +\d+ +)\d+ /, '$1N ')
        .replace(/(\.\d .*\S) +\d+m?s ago +\d+m?s /g, '$1  AGO TOOK ')
    );
  }
}

/** A framework that is in, and has said what waits there. */
function needy(url: string): Promise<SchedulerDriver> {
  return new Promise((registered) => {
    const driver = connectScheduler({
      url,
      name: 'trainer',
      roles: ['vision'],
      scheduler: {
        registered: (driver) => {
          driver.requestResources([
            { name: 'train', count: 2, resources: 'cpus:1;mem:64' },
            { name: 'big', resources: 'cpus:64;mem:64', constraints: ['site==roof'] },
          ]);
          // Answered behind it, on the same topic.
          void driver.load().then(() => registered(driver));
        },
        reregistered: () => {},
        resourceOffers: () => {},
        statusUpdate: () => {},
      },
    });
    driver.start();
  });
}

test('what the verbs say, to people and as JSON, well and wrong', async (t) => {
  const cluster = await Cluster.start(t, {});
  const attributes = ['--attributes', 'site:roof;board:pi-5'];
  await cluster.startAgent('roof', { resources: 'cpus:2;mem:512;disk:100;ports:[31000-31009]', more: attributes });
  const session = new Session(cluster, await readFile(join(cluster.folder, 'm1', 'operator-token'), 'utf8'));
  session.name(cluster.url, 'URL');
  session.name(cluster.folder, 'FOLDER');
  session.name(`process ${cluster.master?.pid}`, 'process PID');

  const job = async (name: string, ...argv: string[]): Promise<string> => {
    const id = (await session.quietly(...argv)).trim();
    session.name(id, name);
    return id;
  };
  await session.mesq('run', '--', 'echo', 'hello');
  await session.mesq('run', '--', 'sh', '-c', 'echo out; exit 3');
  const part = await job(
    'PARTS',
    'run',
    '--detach',
    '--name',
    'parts',
    '--count',
    '3',
    '--cpus',
    '0.5',
    '--',
    'sh',
    '-c',
    'echo part $MESQ_TASK_INDEX; exit $MESQ_TASK_INDEX',
  );
  await session.mesq('wait', part);
  await session.mesq('job', part);
  await session.mesq('ps', part);
  await session.mesq('logs', `${part}.1`);
  await session.mesq('why', part);
  const waiting = await job('WAITS', 'run', '--detach', '--constraint', 'site==cellar', '--', 'true');
  await session.mesq('why', waiting);
  await session.mesq('why', waiting, '--json');
  await session.mesq('cancel', waiting);
  await session.mesq('wait', waiting);
  const file = join(cluster.folder, 'job.yaml');
  await writeFile(file, 'name: from-a-file\ncommand: exit 0\ncount: 2\ncpus: 0.1\n');
  const submitted = await job('SUBMITTED', 'submit', file);
  await session.mesq('wait', submitted);
  await session.mesq('masters');
  await session.mesq('frameworks');
  await session.mesq('offers');

  await session.mesq('weight', 'set', 'vision', '2');
  await session.mesq('quota', 'set', 'vision', '--guarantee', 'cpus:0.5', '--limit', 'cpus:1;mem:256');
  await session.mesq('reserve', 'roof', 'mem(vision):128');
  await session.mesq('roles');
  await session.mesq('unreserve', 'roof', 'mem(vision):128');
  await session.mesq('quota', 'remove', 'vision');
  await session.mesq('quota', 'set', 'a/b', '--limit', 'cpus:1');
  await session.mesq('weight', 'set', 'vision', 'heavy');
  await session.mesq('reserve', 'roof', 'cpus:1');
  await session.mesq('drain', 'roof', '--deadline', '1h');
  await session.mesq('drain', 'roof', '--in', '2h', '--for', '30m', '--deadline', '5m');
  await session.mesq('drain', 'roof', '--in', 'soon');
  await session.mesq('resume', 'roof');
  await session.mesq('drain', 'roof', '--in', '2h', '--for', '30m', '--deadline', '5m');
  await session.mesq('resume', 'roof');
  await session.mesq('drain', 'nosuch');
  await session.mesq('why', 'batch');
  await session.mesq('why', 'nosuch');
  const trainer = await needy(cluster.url);
  t.teardown(() => trainer.stop());
  await session.mesq('why', 'trainer');
  await session.mesq('why', 'trainer', '--json');
  trainer.stop(false);
  await trainer.join();
  await session.mesq('teardown', 'batch');
  await session.mesq('teardown', 'nosuch');

  await writeFile(file, 'name: wrong\ncomand: echo hi\n');
  await session.mesq('submit', file);
  await writeFile(file, 'command: [echo\ncpus: 1\n');
  await session.mesq('submit', file);
  await session.mesq('submit', join(cluster.folder, 'nothing.yaml'));
  await session.mesq('rnu');
  await session.mesq('run');
  await session.mesq('run', '--cpus', 'many', '--', 'true');
  await session.mesq('run', '--constraint', 'site=roof', '--', 'true');
  await session.mesq('job', 'nosuch');
  await session.mesq('job', 'nosuch', '--json');
  await session.mesq('kill', 'nosuch.0');
  await session.mesq('logs', 'nosuch');
  await session.mesq('wait', 'nosuch');
  await session.mesq('gone', 'nosuch');
  await session.mesq('agents', '--timeout', '5parsec');
  await session.mesq('agents', '--url', 'mqtt://127.0.0.1:1');
  await session.mesq('run', '--url', 'mqtt://127.0.0.1:1', '--', 'true');
  await session.mesq('agents', '--token', 'nobody:secret');
  await session.mesq('token', 'create', '--role', 'emperor', '--name', 'x');
  await session.mesq('token', 'revoke', 'nosuch');
  await session.mesq('master', '--id', 'm2', '--data', join(cluster.folder, 'm2'), '--listen', cluster.url);
  await session.mesq('master', '--id', 'm2', '--data', join(cluster.folder, 'm2'), '--listen', 'mqtt://0.0.0.0:0');
  matchesGolden(t, 'cli.txt', session.text);
});
