import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { MasterView } from '../../protocol/operator.ts';
import { type Client, Fault } from '../../sdk/index.ts';
import { connectClient } from '../../tools/cluster.ts';
import { endAll, eventually, MESQ, quietPort, type Running, start } from './cluster.ts';

/** Three masters and their agents, each a process of the built command line, all gone when the test ends. */
export class Quorum {
  readonly folder: string;
  /** Of each master's broker, by its id. */
  readonly urls = new Map<string, string>();
  readonly masters = new Map<string, Running>();
  readonly agents = new Map<string, Running>();
  #connection: ReturnType<typeof connectClient> | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Starts the masters, waits for a leader, and until the agents have joined. */
  static async start(t: ExecutionContext, agents: number, masters = 3): Promise<Quorum> {
    const quorum = new Quorum(await mkdtemp(join(tmpdir(), 'mesq-quorum-')));
    t.teardown(() => quorum.#clean());
    for (let at = 1; at <= masters; at++) quorum.urls.set(`m${at}`, `mqtt://127.0.0.1:${await quietPort()}`);
    await Promise.all([...quorum.urls.keys()].map((id) => quorum.startMaster(id).said(/listening/)));
    await quorum.leader();
    for (let at = 1; at <= agents; at++) quorum.startAgent(`a${at}`);
    const client = await quorum.client();
    await eventually(async () => {
      const answer = await client.request('agents', {});
      return !(answer instanceof Fault) && answer.agents.filter(({ state }) => state === 'active').length === agents
        ? true
        : undefined;
    });
    return quorum;
  }

  get url(): string {
    return [...this.urls.values()].join(',');
  }

  dataOf(name: string): string {
    return join(this.folder, name);
  }

  startMaster(id: string): Running {
    const peers = [...this.urls].filter(([peer]) => peer !== id).flatMap(([peer, url]) => ['--peer', `${peer}=${url}`]);
    const listen = this.urls.get(id) ?? '';
    const master = this.spawn(['master', '--id', id, '--data', this.dataOf(id), '--listen', listen, ...peers]);
    this.masters.set(id, master);
    return master;
  }

  startAgent(name: string): Running {
    const agent = this.spawn([
      ...['agent', '--master', this.url, '--name', name, '--data', this.dataOf(name)],
      ...['--resources', 'cpus:4;mem:1024;disk:1024;ports:[31000-31099]'],
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

  /** Waits until every master is heard of, and has what is committed. */
  whole(): Promise<true> {
    return this.until((masters) => {
      const most = Math.max(...masters.map(({ commitIndex }) => commitIndex));
      const good = masters.every(({ role, commitIndex }) => role !== 'unreachable' && commitIndex === most);
      return good && masters.length === this.urls.size ? true : undefined;
    });
  }

  async #clean(): Promise<void> {
    await (await this.#connection?.catch(() => undefined))?.close();
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
