import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { MasterView } from '../../protocol/operator.ts';
import { type Client, Fault } from '../../sdk/index.ts';
import { connectClient } from '../../tools/cluster.ts';
import { quietPort } from '../quiet-port.ts';
import { endAll, eventually, MESQ, type Running, start } from './cluster.ts';
import { MasterNetwork } from './master-network.ts';

export interface QuorumOptions {
  /** Default 3. */
  readonly masters?: number;
  /** Everybody reaches the masters through {@link Quorum.network}; default: directly. */
  readonly roads?: boolean;
  /** Of each agent. */
  readonly resources?: string;
  /** The data folder of a master, where it is elsewhere than with the others. */
  readonly data?: (id: string, folder: string) => Promise<string | undefined>;
}

/** Three masters and their agents, each a process of the built command line, all gone when the test ends. */
export class Quorum {
  readonly folder: string;
  /** Of each master's broker, by its id: where everybody reaches it. */
  readonly urls = new Map<string, string>();
  readonly network = new MasterNetwork();
  readonly masters = new Map<string, Running>();
  readonly agents = new Map<string, Running>();
  readonly #listens = new Map<string, string>();
  readonly #places = new Map<string, string>();
  readonly #resources: string;
  #connection: ReturnType<typeof connectClient> | undefined;
  readonly #loyal: ReturnType<typeof connectClient>[] = [];

  private constructor(folder: string, { resources = 'cpus:4;mem:1024;disk:1024;ports:[31000-31099]' }: QuorumOptions) {
    this.folder = folder;
    this.#resources = resources;
  }

  /** Starts the masters, waits for a leader, and until the agents have joined. */
  static async start(t: ExecutionContext, agents: number, options: QuorumOptions = {}): Promise<Quorum> {
    const { masters = 3, roads = false } = options;
    const quorum = new Quorum(await mkdtemp(join(tmpdir(), 'mesq-quorum-')), options);
    t.teardown(() => quorum.#clean());
    for (let at = 1; at <= masters; at++) {
      quorum.#places.set(`m${at}`, (await options.data?.(`m${at}`, quorum.folder)) ?? join(quorum.folder, `m${at}`));
      const listen = `mqtt://127.0.0.1:${await quietPort()}`;
      quorum.#listens.set(`m${at}`, listen);
      quorum.urls.set(`m${at}`, roads ? await quorum.network.roadTo(`m${at}`, listen) : listen);
    }
    await Promise.all([...quorum.urls.keys()].map((id) => quorum.startMaster(id).said(/listening/)));
    await quorum.leader();
    for (let at = 1; at <= agents; at++) quorum.startAgent(`a${at}`);
    await quorum.agentsActive();
    return quorum;
  }

  get url(): string {
    return [...this.urls.values()].join(',');
  }

  dataOf(name: string): string {
    return this.#places.get(name) ?? join(this.folder, name);
  }

  startMaster(id: string): Running {
    const peers = [...this.urls].filter(([peer]) => peer !== id).flatMap(([peer, url]) => ['--peer', `${peer}=${url}`]);
    const url = this.urls.get(id) ?? '';
    const listen = this.#listens.get(id) ?? url;
    const places = ['--data', this.dataOf(id), '--listen', listen, '--advertise', url];
    const master = this.spawn(['master', '--id', id, ...places, ...peers]);
    this.masters.set(id, master);
    return master;
  }

  startAgent(name: string, more: readonly string[] = []): Running {
    const agent = this.spawn([
      ...['agent', '--master', this.url, '--name', name, '--data', this.dataOf(name)],
      ...['--resources', this.#resources, ...more],
    ]);
    this.agents.set(name, agent);
    return agent;
  }

  /** A command on this cluster, started. Its key is in a home of its own. */
  spawn(argv: readonly string[]): Running {
    return start(process.execPath, [MESQ, ...argv], { MESQ_URL: this.url, XDG_STATE_HOME: this.folder });
  }

  /** A client in this process: it follows the leader. */
  async client(): Promise<Client> {
    this.#connection ??= connectClient(this.url, 'onlooker');
    return (await this.#connection).client;
  }

  /** A client of each master, which stays there whoever leads. */
  async loyalClients(): Promise<Client[]> {
    const connections = [...this.urls].map(([id, url]) => connectClient(url, `loyal-to-${id}`, { follow: [] }));
    this.#loyal.push(...connections);
    return (await Promise.all(connections)).map(({ client }) => client);
  }

  /** Waits until the masters read like that to whoever leads. */
  async until<Value>(look: (masters: readonly MasterView[]) => Value | undefined): Promise<Value> {
    const client = await this.client();
    return eventually(async () => {
      const answer = await client.request('masters', {}, { timeoutMs: 1_000 });
      return answer instanceof Fault ? undefined : look(answer.masters);
    });
  }

  leader(): Promise<string> {
    return this.until((masters) => masters.find(({ role }) => role === 'leader')?.id);
  }

  /** Waits until every master is heard of, and has what is committed; rejects where one has ended by itself. */
  whole(): Promise<true> {
    return this.until((masters) => {
      for (const [id, { process, stderr }] of this.masters)
        if (process.exitCode !== null) throw new Error(`${id} ended: ${stderr().slice(-2_000)}`);
      const most = Math.max(...masters.map(({ commitIndex }) => commitIndex));
      const good = masters.every(({ role, commitIndex }) => role !== 'unreachable' && commitIndex === most);
      return good && masters.length === this.urls.size ? true : undefined;
    });
  }

  /** Waits until a master's process writes something like that, from now on. */
  async says(id: string, pattern: RegExp): Promise<true> {
    const master = this.masters.get(id);
    const before = master?.stderr().length;
    return await eventually(() => pattern.test(master?.stderr().slice(before) ?? '') || undefined);
  }

  /** Makes a master lead, if it does not yet. */
  async handOver(to: string): Promise<void> {
    const client = await this.client();
    await eventually(async () => {
      if ((await this.leader()) === to) return true;
      // Given up where the other is not there at that moment.
      await client.request('masters-transfer', { master: to });
      return undefined;
    });
  }

  /** As a person replaces its program: another one leads meanwhile, and nobody notices. */
  async upgrade(id: string): Promise<void> {
    const next = [...this.urls.keys()].find((other) => other !== id);
    if (next !== undefined && (await this.leader()) === id) await this.handOver(next);
    await this.masters.get(id)?.end('SIGTERM');
    this.startMaster(id);
    await this.whole();
  }

  /** Waits until tasks run, and names the agents that run them. */
  async busyAgents(): Promise<string[]> {
    const client = await this.client();
    return eventually(async () => {
      const answer = await client.request('tasks', {});
      if (answer instanceof Fault) return undefined;
      const names = answer.tasks.flatMap(({ state, agent }) => (state === 'TASK_RUNNING' ? (agent ?? []) : []));
      return names.length > 0 ? [...new Set(names)].sort() : undefined;
    });
  }

  /** Waits until all agents are there. */
  async agentsActive(): Promise<void> {
    const count = this.agents.size;
    const client = await this.client();
    await eventually(async () => {
      const answer = await client.request('agents', {});
      if (answer instanceof Fault) return undefined;
      return answer.agents.filter(({ state }) => state === 'active').length === count || undefined;
    });
  }

  async #clean(): Promise<void> {
    for (const connection of [this.#connection, ...this.#loyal])
      await (await connection?.catch(() => undefined))?.close();
    await this.network.close();
    const processes = [...this.masters.values(), ...this.agents.values()];
    for (const { process } of processes) {
      process.kill('SIGCONT');
      process.kill('SIGKILL');
    }
    await Promise.all(processes.map(({ ended }) => ended));
    await endAll(this.folder);
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}
