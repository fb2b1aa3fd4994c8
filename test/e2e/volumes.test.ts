import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Offer, OfferOperation, OperationStatus, Scheduler, StatusEvent, TaskLaunch } from '../../sdk/index.ts';
import { connectScheduler } from '../../sdk/node.ts';
import { Cluster, eventually } from './cluster.ts';

/** Accepts the first offer that holds what it waits for. */
class Database implements Scheduler {
  readonly statuses: StatusEvent[] = [];
  readonly operations: OperationStatus[] = [];
  readonly driver;
  #wanted: { readonly holds: string; readonly operations: readonly OfferOperation[] } | undefined;

  constructor(url: string) {
    this.driver = connectScheduler({ url, name: 'db', roles: ['db'], scheduler: this });
    this.driver.start();
  }

  /** `holds`: a name of a volume, or empty. */
  accept(holds: string, ...operations: OfferOperation[]): void {
    this.#wanted = { holds, operations };
    this.driver.reviveOffers();
  }

  async ended(operation: string): Promise<string> {
    return (await eventually(() => this.operations.find((status) => status.operation === operation))).state;
  }

  registered(): void {}
  reregistered(): void {}

  resourceOffers(_driver: unknown, offers: readonly Offer[]): void {
    for (const { offer, resources } of offers) {
      const wanted = this.#wanted;
      const isThere = wanted?.holds === '' || resources.some(({ volume }) => volume === wanted?.holds);
      if (wanted === undefined || !isThere || !resources.some(({ name }) => name === 'cpus')) {
        this.driver.declineOffer(offer, { refuseMs: 0 });
        continue;
      }
      this.#wanted = undefined;
      this.driver.acceptOffers([offer], wanted.operations, { refuseMs: 0 });
    }
  }

  statusUpdate(_driver: unknown, status: StatusEvent): void {
    this.statuses.push(status);
  }

  operationStatusUpdate(_driver: unknown, status: OperationStatus): void {
    this.operations.push(status);
  }
}

function onVolume(task: string, script: string): TaskLaunch {
  return { task, attempt: 0, argv: ['sh', '-c', script], resources: 'cpus:0.1;mem:16;disk(db)[data]:100' };
}

test('what a task leaves in a volume is there for the next one, across kill -9 of master and agent, until it is destroyed', async (t) => {
  const cluster = await Cluster.start(t);
  const database = new Database(cluster.url);
  t.teardown(async () => {
    database.driver.stop();
    await database.driver.join();
  });
  const finished = (task: string): Promise<StatusEvent> =>
    eventually(() => database.statuses.find((one) => one.task === task && one.state === 'TASK_FINISHED'));
  database.accept(
    '',
    { type: 'RESERVE', id: 'r1', resources: 'disk(db):200' },
    { type: 'CREATE', id: 'c1', resources: 'disk(db)[data]:100' },
    { type: 'LAUNCH', tasks: [onVolume('writer', 'echo kept > "$MESQ_VOLUME_DATA/file"')] },
  );
  t.is(await database.ended('r1'), 'OPERATION_FINISHED');
  t.is(await database.ended('c1'), 'OPERATION_FINISHED');
  await finished('writer');
  const folder = join(cluster.dataOf('a1'), 'volumes/db/-data');
  t.is(await readFile(join(folder, 'file'), 'utf8'), 'kept\n');
  await cluster.agents.get('a1')?.end('SIGKILL');
  await cluster.master?.end('SIGKILL');
  await cluster.startMaster();
  await cluster.startAgent('a1');
  database.accept('data', { type: 'LAUNCH', tasks: [onVolume('reader', 'grep -q kept "$MESQ_VOLUME_DATA/file"')] });
  await finished('reader');
  database.accept('data', { type: 'DESTROY', id: 'd1', resources: 'disk(db)[data]:100' });
  t.is(await database.ended('d1'), 'OPERATION_FINISHED');
  t.deepEqual(await readdir(join(cluster.dataOf('a1'), 'volumes/db')), []);
  const { code, stdout } = await cluster.mesq('unreserve', 'a1', 'disk(db):200');
  t.is(code, 0, stdout);
  const [agent] = await cluster.json<{ resources: { total: string } }[]>('agents');
  t.true(agent?.resources.total.includes('disk:1024'), agent?.resources.total);
});
