import { type Allocation, Allocator, type FrameworkTerms } from '../../master/allocator/allocator.ts';
import { ShareTree } from '../../master/allocator/share-tree.ts';
import { Totals } from '../../master/allocator/tally.ts';
import { type Attributes, parseAttributes } from '../../protocol/attributes.ts';
import { assert, Fault } from '../../protocol/faults.ts';
import { parseQuantities, type Quantities } from '../../protocol/quantities.ts';
import { add, asRole, equals, scalarOf, subtract } from '../../protocol/resource-arithmetic.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import { resourcesOf } from '../resources-of.ts';

/** One allocation, as cases write it. */
interface Written {
  readonly framework: string;
  readonly role: string;
  readonly agent: string;
  readonly resources: string;
}

interface Total {
  readonly framework: string;
  readonly role: string;
  readonly agents: number;
  readonly resources: string;
}

interface Does {
  readonly do: string;
  readonly agent?: string;
  readonly framework?: string;
  readonly role?: string;
  readonly roles?: readonly string[];
  readonly suppressed?: readonly string[];
  readonly capabilities?: readonly string[];
  readonly minAllocatable?: Readonly<Record<string, string>>;
  readonly total?: string;
  readonly attributes?: string;
  readonly used?: readonly Omit<Written, 'agent'>[];
  readonly resources?: string;
  readonly refuseSeconds?: number | null;
  readonly guarantees?: string;
  readonly limits?: string;
  readonly weight?: number;
  readonly hosts?: readonly string[];
  readonly n?: number;
}

type Step =
  | Does
  | { readonly expect: readonly Written[] }
  | { readonly expectTotals: readonly Total[] }
  | { readonly expectOneAgent: Omit<Written, 'agent'> & { readonly agents: readonly string[] } }
  | { readonly expectShares: Readonly<Record<string, number>> };

export interface AllocationCase {
  readonly id: string;
  readonly config?: {
    readonly allocationIntervalSeconds?: number;
    readonly minAllocatable?: string;
    readonly fairnessExclude?: readonly string[];
  };
  readonly steps: readonly Step[];
}

/** What a case came to: undefined where all of it held, else what did not. */
export type Verdict = string | undefined;

/** Runs one case of allocation. `order` puts the agents of every pass in another order: it must not matter. */
export function runAllocationCase(testCase: AllocationCase, order: (agents: string[]) => string[]): Verdict {
  const run = new CaseRun(testCase, order);
  for (const [at, step] of testCase.steps.entries()) {
    const problem = 'do' in step ? run.act(step) : run.check(step);
    if (problem !== undefined) return `${testCase.id}, step ${at} ${JSON.stringify(step).slice(0, 200)}: ${problem}`;
  }
  return undefined;
}

class CaseRun {
  readonly #allocator: Allocator;
  readonly #order: (agents: string[]) => string[];
  readonly #intervalMs: number;
  readonly #agents = new Map<string, { total: Resources; attributes: Attributes }>();
  readonly #terms = new Map<string, FrameworkTerms>();
  #hosts: ReadonlySet<string> | undefined;
  #nowMs = 0;
  #made: Allocation[] = [];
  /** Offered, and not declined. */
  #open: Allocation[] = [];

  constructor({ config = {} }: AllocationCase, order: (agents: string[]) => string[]) {
    const { allocationIntervalSeconds = 1, minAllocatable, fairnessExclude = [] } = config;
    this.#intervalMs = allocationIntervalSeconds * 1000;
    this.#order = order;
    this.#allocator = new Allocator({
      ...(minAllocatable === undefined ? {} : { minimum: minimumOf(minAllocatable) }),
      fairnessExcluded: fairnessExclude,
    });
  }

  act(step: Does): Verdict {
    const { agent = '', framework = '', role = '', roles = [] } = step;
    const allocator = this.#allocator;
    switch (step.do) {
      case 'addAgent': {
        this.#agents.set(agent, { total: resourcesOf(step.total ?? ''), attributes: [] });
        allocator.addAgent(agent, this.#factsOf(agent));
        for (const { resources, ...used } of step.used ?? [])
          allocator.occupy({ ...used, agent, resources: resourcesOf(resources) });
        for (const { resources, ...used } of step.used ?? [])
          this.#open.push({ ...used, agent, resources: resourcesOf(resources) });
        allocator.setOfferable(agent, this.#hosts?.has(agent) ?? true);
        return this.#pass([agent]);
      }
      case 'updateAgent': {
        const known = this.#agents.get(agent);
        this.#agents.set(agent, {
          total: resourcesOf(step.total ?? ''),
          attributes: step.attributes === undefined ? (known?.attributes ?? []) : attributesOf(step.attributes),
        });
        return allocator.updateAgent(agent, this.#factsOf(agent)) ? this.#pass([agent]) : undefined;
      }
      case 'removeAgent':
        this.#open = this.#open.filter((allocation) => allocation.agent !== agent);
        return void allocator.removeAgent(agent);
      case 'addFramework':
      case 'updateFramework': {
        const terms: FrameworkTerms = {
          roles: step.roles ?? this.#terms.get(framework)?.roles ?? [],
          suppressed: step.suppressed ?? [],
          gpus: step.capabilities?.includes('GPU_RESOURCES') === true,
          revocable: step.capabilities?.includes('REVOCABLE_RESOURCES') === true,
          minimum: new Map(Object.entries(step.minAllocatable ?? {}).map(([at, text]) => [at, minimumOf(text)])),
        };
        this.#terms.set(framework, terms);
        allocator.setFramework(framework, terms);
        for (const { resources, ...used } of step.used ?? [])
          allocator.occupy({ ...used, agent, resources: resourcesOf(resources) });
        return step.do === 'addFramework' ? this.#pass('all') : undefined;
      }
      case 'removeFramework':
        return void allocator.removeFramework(framework);
      case 'activate':
        allocator.setActive(framework, true);
        return this.#pass('all');
      case 'deactivate':
        return void allocator.setActive(framework, false);
      case 'suppress':
        return void allocator.suppress(framework, roles);
      case 'revive':
        allocator.revive(framework, roles);
        return this.#pass('all');
      case 'decline':
        return this.#decline(
          { framework, role, agent, resources: resourcesOf(step.resources ?? '') },
          step.refuseSeconds,
        );
      case 'declineAll': {
        for (const allocation of this.#open) this.#decline(allocation, step.refuseSeconds);
        this.#open = [];
        return undefined;
      }
      case 'setQuota':
        return void allocator.setQuota(role, {
          guarantees: new Map(quantitiesOf(step.guarantees ?? '')),
          limits: new Map(quantitiesOf(step.limits ?? '')),
        });
      case 'removeQuota':
        return void allocator.setQuota(role, undefined);
      case 'setWeight':
        return void allocator.setWeight(role, step.weight ?? 1);
      case 'setWhitelist':
        this.#hosts = new Set(step.hosts);
        for (const known of this.#agents.keys()) allocator.setOfferable(known, this.#hosts.has(known));
        return undefined;
      case 'reserve': {
        const known = this.#agents.get(agent);
        assert(known !== undefined, 'a reservation is on a known agent');
        const from = resourcesOf(step.resources ?? '');
        known.total = add(subtract(known.total, from), asRole(from, role));
        return void allocator.updateAgent(agent, this.#factsOf(agent));
      }
      case 'advanceIntervals':
        for (let left = step.n ?? 1; left > 0; left--) {
          this.#nowMs += this.#intervalMs;
          this.#pass('batch');
        }
        return undefined;
      default:
        return `no such verb: ${step.do}`;
    }
  }

  check(step: Exclude<Step, Does>): Verdict {
    if ('expectShares' in step) {
      const wrong = Object.entries(step.expectShares).filter(([role, share]) => this.#allocator.share(role) !== share);
      return wrong.length === 0
        ? undefined
        : `shares ${wrong.map(([role]) => `${role}=${this.#allocator.share(role)}`)}`;
    }
    const made = this.#made.splice(0);
    const said = made
      .map(({ framework, role, agent, resources }) => `${framework}@${role} ${agent} ${formatResources(resources)}`)
      .join(', ');
    if ('expect' in step) {
      const left = [...made];
      for (const { resources, ...expected } of step.expect) {
        const at = left.findIndex((one) => isSame(one, expected) && equals(one.resources, resourcesOf(resources)));
        if (at < 0) return `made: ${said}`;
        left.splice(at, 1);
      }
      return left.length === 0 ? undefined : `made: ${said}`;
    }
    if ('expectOneAgent' in step) {
      const { agents, resources, ...expected } = step.expectOneAgent;
      const [only, ...more] = made;
      const fits =
        only !== undefined &&
        more.length === 0 &&
        agents.includes(only.agent) &&
        isSame(only, { ...expected, agent: only.agent }) &&
        equals(only.resources, resourcesOf(resources));
      return fits ? undefined : `made: ${said}`;
    }
    for (const { framework, role, agents, resources } of step.expectTotals) {
      const own = made.filter((one) => one.framework === framework && one.role === role);
      const sum = own.reduce<Resources>((all, one) => add(all, one.resources), []);
      if (own.length !== agents || !sameScalars(sum, resourcesOf(resources))) return `made: ${said}`;
    }
    return undefined;
  }

  #factsOf(agent: string) {
    const { total = [], attributes = [] } = this.#agents.get(agent) ?? {};
    return { name: agent, hostname: agent, attributes, total };
  }

  #decline(allocation: Allocation, refuseSeconds: number | null | undefined): Verdict {
    const refuseMs =
      refuseSeconds == null || refuseSeconds === 0 ? 0 : Math.max(this.#intervalMs, refuseSeconds * 1000);
    this.#open = this.#open.filter(
      (one) => one !== allocation && !(isSame(one, allocation) && equals(one.resources, allocation.resources)),
    );
    this.#allocator.decline(allocation, refuseMs, this.#nowMs);
    return undefined;
  }

  #pass(which: string[] | 'all' | 'batch'): undefined {
    const made =
      which === 'batch'
        ? this.#allocator.allocate('batch', this.#nowMs)
        : this.#allocator.allocate(which === 'all' ? this.#order([...this.#agents.keys()]) : which, this.#nowMs);
    this.#made.push(...made);
    this.#open.push(...made);
    return undefined;
  }
}

function isSame(left: Omit<Allocation, 'resources'>, right: Omit<Allocation, 'resources'>): boolean {
  return left.framework === right.framework && left.role === right.role && left.agent === right.agent;
}

function sameScalars(left: Resources, right: Resources): boolean {
  const names = new Set([...left, ...right].map(({ name }) => name));
  return [...names].every((name) => scalarOf(left, name) === scalarOf(right, name));
}

function minimumOf(text: string): Quantities[] {
  return text === '' ? [] : text.split('|').map(parsed);
}

function parsed(text: string): Quantities {
  const quantities = parseQuantities(text);
  assert(!(quantities instanceof Fault), `quantities can be read: ${text}`);
  return quantities;
}

/** With zeros, which limits need. */
function quantitiesOf(text: string): [string, number][] {
  return text
    .split(';')
    .filter(Boolean)
    .map((part): [string, number] => {
      const [name = '', amount = ''] = part.split(':');
      return [name.trim(), Math.round(Number(amount) * 1000)];
    });
}

function attributesOf(text: string): Attributes {
  const attributes = parseAttributes(text);
  assert(!(attributes instanceof Fault), `attributes can be read: ${text}`);
  return attributes;
}

export interface SorterCase {
  readonly id: string;
  readonly steps?: readonly {
    readonly op: string;
    readonly args?: readonly (string | number)[];
    readonly expect?: readonly string[];
  }[];
}

/** Runs one case of sorting. */
export function runSorterCase({ id, steps = [] }: SorterCase): Verdict {
  const totals = new Totals();
  const tree = new ShareTree(totals, new Set());
  let total: Resources = [];
  for (const [at, { op, args = [], expect }] of steps.entries()) {
    const [first, second] = args;
    const client = String(first);
    if (op === 'total') {
      totals.add(total, -1);
      total = resourcesOf(client);
      totals.add(total, 1);
    } else if (op === 'add') tree.add(client);
    else if (op === 'remove') tree.remove(client);
    else if (op === 'allocated') tree.allocated(client, resourcesOf(String(second)));
    else if (op === 'unallocated') tree.unallocated(client, resourcesOf(String(second)));
    else if (op === 'weight') tree.setWeight(client, Number(second));
    else if (op === 'activate') tree.activate(client, true);
    else if (op === 'deactivate') tree.activate(client, false);
    else if (op !== 'sort') return `${id}, step ${at}: no such operation: ${op}`;
    if (expect !== undefined && expect.join() !== tree.sorted().join())
      return `${id}, step ${at}: ${tree.sorted().join()}`;
  }
  return undefined;
}
