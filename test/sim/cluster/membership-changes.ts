import { Fault } from '../../../protocol/faults.ts';
import type { ClusterSimulation } from './cluster-simulation.ts';
import type { MasterProcess } from './master-process.ts';

/** Machines that a run may have beside those of its first masters. */
export const SPARES = 4;
const TIMEOUT_MS = 10_000;
const AGAIN_MS = 500;

/**
 * What an operator does about the masters, one change at a time (docs/masters.md): it asks until it is told that it is
 * done. Every master that is started from then on is told of those that there are now.
 */
export class MembershipChanges {
  /** A change is under way: of the masters' disks none may be lost now. */
  busy = false;
  /** Of masters that were added, and removed. */
  readonly tally = { added: 0, removed: 0 };
  readonly #cluster: ClusterSimulation;
  #spares = SPARES;

  constructor(cluster: ClusterSimulation) {
    this.#cluster = cluster;
  }

  /** May another one be begun? */
  get possible(): boolean {
    return !this.busy && this.#spares > 0 && this.#cluster.weather.changes;
  }

  /** A new master comes; then one of all leaves, the new one perhaps. It goes on for a while, and is stopped. */
  async addAndRemove(): Promise<void> {
    this.busy = true;
    const { masters, random } = this.#cluster;
    await this.#add();
    const leaving = masters[random.below(masters.length)];
    if (leaving !== undefined) await this.#remove(leaving);
    this.busy = false;
  }

  /** The machine of a master is gone for good: another one takes its place. */
  async replace(lost: MasterProcess): Promise<void> {
    this.busy = true;
    this.#stop(lost);
    await this.#add();
    await this.#remove(lost);
    this.busy = false;
  }

  async #add(): Promise<void> {
    this.#spares--;
    const master = this.#cluster.anotherMaster();
    this.#tellPeers();
    master.start();
    const { id, url } = master;
    await this.#until(`${id} is added`, async () => {
      const { client } = this.#cluster.client;
      const answer = await client.request('masters-add', { id, urls: [url] }, { timeoutMs: TIMEOUT_MS });
      return !(answer instanceof Fault);
    });
    await this.#until(`${id} votes`, async () => {
      const answer = await this.#cluster.client.client.request('masters', {}, { timeoutMs: TIMEOUT_MS });
      return !(answer instanceof Fault) && answer.masters.some((each) => each.id === id && each.voter);
    });
    this.tally.added++;
  }

  async #remove(master: MasterProcess): Promise<void> {
    const { id } = master;
    await this.#until(`${id} is removed`, async () => {
      const { client } = this.#cluster.client;
      const answer = await client.request('masters-remove', { master: id }, { timeoutMs: TIMEOUT_MS });
      return !(answer instanceof Fault);
    });
    this.tally.removed++;
    this.#leaves(master);
    this.#tellPeers();
    const { clock, random } = this.#cluster;
    // It is stopped by hand: soon, or when somebody thinks of it.
    clock.after(random.next() * 20_000, () => this.#stop(master));
  }

  #stop(master: MasterProcess): void {
    this.#leaves(master);
    master.down = true;
    master.kill('power');
    master.disk.wipe();
  }

  /** From now on nothing is asked of it, and nothing happens to it. */
  #leaves(master: MasterProcess): void {
    const { masters } = this.#cluster;
    const at = masters.indexOf(master);
    if (at >= 0) masters.splice(at, 1);
    master.resume();
  }

  #tellPeers(): void {
    const { masters } = this.#cluster;
    const members = masters.map(({ id, url }) => ({ id, urls: [url] }));
    for (const master of masters) master.peers = members;
  }

  async #until(what: string, ask: () => Promise<boolean>): Promise<void> {
    const { clock } = this.#cluster;
    while (!(await ask())) await new Promise<void>((resolve) => void clock.after(AGAIN_MS, resolve));
    this.#cluster.say('client', 'is told that', { what });
  }
}
