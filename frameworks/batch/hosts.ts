/** Where the live tasks of a job are, by the names of agents; `hostnames` knows the hosts of those that made offers. */
export class Hosts {
  readonly #agents = new Map<number, string>();
  readonly #hostnames: ReadonlyMap<string, string>;

  constructor(hostnames: ReadonlyMap<string, string>) {
    this.#hostnames = hostnames;
  }

  add(index: number, agent: string): void {
    this.#agents.set(index, agent);
  }

  delete(index: number): void {
    this.#agents.delete(index);
  }

  /** True where a task of the job lives on that agent, or on another one of the same host. */
  has(agent: string, hostname: string): boolean {
    for (const one of this.#agents.values()) {
      if (one === agent || this.#hostnames.get(one) === hostname) return true;
    }
    return false;
  }
}
