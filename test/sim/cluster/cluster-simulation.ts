import { restoreLog } from '../../../master/backup.ts';
import type { Registry } from '../../../master/registry/registry.ts';
import { registryOf } from '../../../master/registry/snapshot.ts';
import { slicesOf } from '../../../master/snapshot-pieces.ts';
import { Fault } from '../../../protocol/faults.ts';
import type { Member } from '../../../protocol/raft.ts';
import { VirtualClock } from '../clock.ts';
import { type Partition, SimulatedNetwork } from '../network.ts';
import type { ProcessClock } from '../process-clock.ts';
import { SeededRandom } from '../random.ts';
import { AgentMachine } from './agent-machine.ts';
import { Audit } from './audit.ts';
import { ClientProcess } from './client-process.ts';
import type { PackedTally } from './counted-packing.ts';
import { breakSomething } from './faults.ts';
import { MasterProcess, raftMessageOf, urlOf } from './master-process.ts';
import { MembershipChanges, SPARES } from './membership-changes.ts';
import type { Surroundings } from './simulated-process.ts';
import { type ClusterWeather, drawWeather } from './weather.ts';

/** After the last fault, everything acknowledged has to end within so long. */
const CALM_MS = 1_200_000;
const LOOK_MS = 1_000;
/** Messages in a second that no cluster of this size has a reason for. */
const FLOOD = 20_000;
/** With nothing to do: batch gives its owners' roles back after a minute; then nothing is written. */
const SETTLE_MS = 120_000;
const QUIET_MS = 60_000;
const SPITE = 0.02;

/**
 * Real masters with their batch framework, real agents and a real client in one process, on virtual time from one
 * seed. {@link run} lets things go wrong for a while, heals everything, and gives what was violated, in words.
 */
export class ClusterSimulation {
  readonly weather: ClusterWeather;
  readonly random: SeededRandom;
  readonly clock = new VirtualClock();
  readonly network: SimulatedNetwork;
  readonly audit = new Audit();
  /** Those that are there now: some may have come since, and others gone. */
  readonly masters: MasterProcess[];
  readonly changes = new MembershipChanges(this);
  readonly agents: AgentMachine[];
  readonly client: ClientProcess;
  readonly packed: PackedTally = { toMasters: 0, toAgents: 0, unreadable: 0 };
  /** How often each fault was made. */
  readonly faults = new Map<string, number>();
  /** What happened, a line each. */
  readonly transcript: string[] = [];
  readonly around: Surroundings;
  /** Virtual milliseconds at which a master's disk was lost last. */
  lostAt = Number.NEGATIVE_INFINITY;
  readonly #cuts = new Set<Partition>();
  readonly #masterNamed: (id: string) => MasterProcess;
  #masterCount = 0;
  readonly #newer = new Set<string>();
  readonly #clones: AgentMachine[] = [];
  #copies = 0;
  #publishes = { second: 0, count: 0 };
  #storm = true;

  constructor(seed: number, weather: Partial<ClusterWeather> = {}) {
    this.random = new SeededRandom(seed);
    this.weather = { ...drawWeather(this.random), ...weather };
    const { loss, duplicates, tail, clockError, disk } = this.weather;
    this.network = new SimulatedNetwork({
      clock: this.clock,
      random: this.random,
      loss,
      duplicates,
      duplicatesAtQos0: duplicates,
      tail,
    });
    const parts = [...Array(this.weather.masters).keys()].map((at) => `m${at + 1}`);
    parts.push(...[...Array(this.weather.agents).keys()].map((at) => `a${at + 1}`));
    for (const name of parts) if (this.random.chance(this.weather.newer)) this.#newer.add(name);
    this.around = {
      clock: this.clock,
      network: this.network,
      random: this.random,
      owners: new Map<string, ProcessClock>(),
      isNewer: (name) => this.#newer.has(name),
      mixed: this.weather.newer > 0,
      packed: this.packed,
      say: (who, what, fields) => this.say(who, what, fields),
    };
    const rate = (): number => 1 + (this.random.next() * 2 - 1) * clockError;
    const diskMs = (): number => {
      const stalls = this.#storm && disk.stallMs > 0 && this.random.chance(0.005);
      return disk.ms * (0.5 + this.random.next()) + (stalls ? this.random.next() * disk.stallMs : 0);
    };
    const { around, audit } = this;
    this.#masterNamed = (id) => new MasterProcess({ around, audit, id, rate: rate(), diskMs });
    this.masters = [];
    while (this.masters.length < this.weather.masters) this.anotherMaster();
    // Agents and clients go only where they were told to: also to machines on which a master may be one day.
    const spares = [...Array(this.weather.changes ? SPARES : 0).keys()].map((at) =>
      urlOf(`m${this.weather.masters + at + 1}`),
    );
    const urls = [...this.masters.map(({ url }) => url), ...spares];
    this.agents = Array.from({ length: this.weather.agents }, (_, at) => {
      const name = `a${at + 1}`;
      return new AgentMachine({
        around,
        audit,
        machine: name,
        agent: name,
        metered: at % 3 === 1,
        urls,
        rate: rate(),
        diskMs,
      });
    });
    // A machine without a master listens to nobody.
    for (const url of spares) this.network.broker(url).stop();
    this.client = new ClientProcess(around, urls);
    this.network.onGone = (client, url) => this.masters.find((master) => master.url === url)?.connectionGone(client);
    this.network.onPublish = (topic, payload) => this.#published(topic, payload);
  }

  /** Faults may be made: the storm is on. */
  get storming(): boolean {
    return this.#storm;
  }

  say(who: string, what: string, fields: object = {}): void {
    const told = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
    this.transcript.push(
      [`${(this.clock.monotonic() / 1_000).toFixed(3).padStart(8)} ${who} ${what}`, ...told].join(' '),
    );
  }

  /** What was violated, first the first; none where all was well. */
  async run(): Promise<string[]> {
    const members = this.masters.map(({ id, url }) => ({ id, urls: [url] }));
    for (const master of this.masters) {
      master.peers = members;
      master.start();
    }
    for (const agent of this.agents) agent.start();
    this.client.start();
    const { stormMs, restores } = this.weather;
    // A cluster is founded by all of its masters: until then there is nothing to break.
    await this.#until(() => this.audit.tally.applied > 0, 'the cluster is founded', 60_000);
    this.#nextFault();
    const end = this.clock.monotonic() + stormMs;
    if (restores) {
      await this.#reach(end - stormMs / 2);
      if (this.#sound) await this.#loseAllMasters();
    }
    await this.#reach(end);
    this.#heal();
    if (this.#sound) await this.#finish();
    for (const violation of this.client.history.violations()) this.audit.violated(violation);
    return this.audit.violations;
  }

  /** Cuts something off for a while, beside what is cut off already. */
  cut(blocks: Partition, ms: number): void {
    this.#cuts.add(blocks);
    this.#partition();
    this.clock.after(ms, () => {
      if (this.#cuts.delete(blocks)) this.#partition();
    });
  }

  /** What is started there from now on is of the other version: the next one, or again the one before. */
  changeVersion(part: string): 'next' | 'previous' {
    if (this.#newer.delete(part)) return 'previous';
    this.#newer.add(part);
    return 'next';
  }

  /** A master on a machine of its own, which is not started yet. */
  anotherMaster(): MasterProcess {
    const master = this.#masterNamed(`m${++this.#masterCount}`);
    this.masters.push(master);
    return master;
  }

  /** Another machine, with a copy of what is on the card of this one. */
  copyOf(agent: AgentMachine): AgentMachine {
    const machine = `${agent.name}-copy-${++this.#copies}`;
    const copy = agent.copy(machine);
    this.#clones.push(copy);
    return copy;
  }

  #partition(): void {
    this.network.partition((client, url, way) => {
      for (const blocks of this.#cuts) if (blocks(client, url, way)) return true;
      return false;
    });
  }

  get #sound(): boolean {
    return this.audit.violations.length === 0;
  }

  async #reach(time: number): Promise<void> {
    while (this.#sound && this.clock.monotonic() < time)
      await this.clock.advance(Math.min(LOOK_MS, time - this.clock.monotonic()));
  }

  async #until(done: () => boolean, what: string, limitMs = CALM_MS): Promise<void> {
    const end = this.clock.monotonic() + limitMs;
    while (this.#sound && !done()) {
      if (this.clock.monotonic() >= end) return this.audit.violated(`not within ${limitMs / 1_000} s: ${what}`);
      await this.clock.advance(LOOK_MS);
    }
  }

  #nextFault(): void {
    this.clock.after(this.random.next() * 2 * this.weather.faultMs, () => {
      if (!this.#storm) return;
      const name = breakSomething(this);
      this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
      this.#nextFault();
    });
  }

  #published(topic: string, payload: Uint8Array): void {
    const second = Math.floor(this.clock.monotonic() / 1_000);
    if (second !== this.#publishes.second) this.#publishes = { second, count: 0 };
    if (++this.#publishes.count === FLOOD) this.audit.violated(`a flood of messages, ${topic} among them`);
    const message = raftMessageOf(topic, payload);
    if (message === undefined) return;
    this.audit.heard(message);
    if (!this.weather.spiteful || !this.#storm) return;
    const { type, from } = message;
    const tender =
      type === 'VOTE_REPLY' ||
      type === 'PRE_VOTE_REPLY' ||
      (type === 'APPEND' && message.entries.some(({ kind }) => kind === 'noop'));
    const victim = this.masters.find(({ id }) => id === from);
    if (!tender || victim === undefined || !this.random.chance(SPITE * 10)) return;
    this.clock.after(0, () => {
      if (!victim.runs) return;
      this.say(victim.id, 'loses power', { after: type });
      victim.kill('power');
      this.clock.after(this.random.chance(0.5) ? 5 : this.random.next() * 2_000, () => {
        if (!victim.down) victim.start();
      });
    });
  }

  #heal(): void {
    this.#storm = false;
    this.say('everything', 'heals');
    this.#cuts.clear();
    this.network.calm();
    this.network.heal();
    for (const clone of this.#clones) {
      clone.down = true;
      clone.cutPower();
    }
    for (const part of [...this.masters, ...this.agents]) {
      part.down = false;
      part.disk.capacity = Number.POSITIVE_INFINITY;
      part.disk.failingSyncs = 0;
      part.resume();
      part.start();
    }
    this.client.submitNoMore();
  }

  /** After healing, everything acknowledged ends, and all masters have the same. */
  async #finish(): Promise<void> {
    const { audit, client } = this;
    await this.#until(() => !this.changes.busy, 'the change of the masters is done');
    await this.#until(() => client.idle && client.unfinished().length === 0, 'everything acknowledged has ended');
    if (!this.#sound)
      for (const id of client.unfinished())
        this.say('client', 'still waits', { job: id, state: client.states.get(id) });
    await this.#until(
      () => this.masters.every(({ id }) => audit.appliedIndex(id) === audit.latestIndex),
      'all masters have applied the same',
    );
    for (const { id } of this.masters) audit.compareLatest(id);
    await this.#reach(this.clock.monotonic() + SETTLE_MS);
    const { latestIndex } = audit;
    await this.#reach(this.clock.monotonic() + QUIET_MS);
    const written = audit.latestIndex - latestIndex;
    if (this.#sound && written > 0) audit.violated(`${written} entries were written while there was nothing to do`);
  }

  /** A backup is taken; then all masters are lost but for what it holds (docs/backup.md). */
  async #loseAllMasters(): Promise<void> {
    const known = new Set(this.client.acknowledged);
    let answered = false;
    let backup: Registry | undefined;
    void this.client.client.request('backup', {}, { timeoutMs: 30_000 }).then((answer) => {
      answered = true;
      if (!(answer instanceof Fault)) backup = registryOf(slicesOf(answer.pieces));
    });
    await this.#until(() => answered, 'a backup is answered');
    if (backup === undefined) return;
    const registry: Registry = backup;
    await this.#reach(this.clock.monotonic() + 2_000 + this.random.next() * 5_000);
    this.say('all masters', 'are lost; a backup is restored', { index: registry.index });
    for (const master of this.masters) {
      master.down = true;
      master.kill('process');
      master.disk.wipe();
      master.peers = [];
    }
    this.audit.began();
    this.client.restored(known);
    const [first, ...others] = this.masters;
    if (first === undefined) return;
    let restored = false;
    void restoreLog(first.disk.storage(), registry).then((result) => {
      if (result instanceof Fault) this.audit.violated(`restore: ${result.message}`);
      restored = true;
    });
    await this.#until(() => restored, 'a backup is restored');
    first.down = false;
    first.start();
    const there: Member[] = [{ id: first.id, urls: [first.url] }];
    for (const master of others) {
      master.down = false;
      // Who is started again knows all that are there by then, or could not answer one of them that leads.
      there.push({ id: master.id, urls: [master.url] });
      for (const each of this.masters) each.peers = [...there];
      master.start();
      let added = false;
      void this.#add(master).then(() => {
        added = true;
      });
      await this.#until(() => added, `${master.id} is added`);
    }
  }

  async #add({ id, url }: MasterProcess): Promise<void> {
    for (;;) {
      const answer = await this.client.client.request('masters-add', { id, urls: [url] }, { timeoutMs: 10_000 });
      // EXISTS: the answer before was lost on its way.
      if (!(answer instanceof Fault) || answer.code === 'EXISTS') return;
      this.say('client', 'is refused', { code: answer.code, message: answer.message });
      await new Promise<void>((resolve) => void this.clock.after(500, resolve));
    }
  }
}
