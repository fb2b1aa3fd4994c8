import type { Resources } from '../../protocol/resources.ts';
import { addTo, type Tally, type Totals } from './tally.ts';

/** The client of an inner node, which competes with that node's children. No part of a role's name is `.`. */
const SELF = '.';

/** A part of a path. A client is the leaf `.` below the node of its path. */
class Node {
  readonly name: string;
  readonly parent: Node | undefined;
  readonly children = new Map<string, Node>();
  /** The children that have an active client below them, by share. */
  order: Node[] = [];
  /** Of a leaf: the path of its client. */
  readonly client: string | undefined;
  /** Of a leaf. */
  active = false;
  /** Active clients at or below. */
  live = 0;
  readonly allocated: Tally = new Map();
  /** Allocations so far, of all clients at or below. */
  count = 0;
  weight = 1;
  /** As of the totals that the tree last looked at. */
  share = 0;

  constructor(name: string, parent: Node | undefined, client?: string) {
    this.name = name;
    this.parent = parent;
    this.client = client;
  }
}

/**
 * Clients by dominant share: the largest fraction of the cluster's total of anything that a client holds (Ghodsi et al.,
 * NSDI 2011), divided by its weight. Clients are paths, `a/b/c`; at every level siblings compete with all that is
 * allocated below them (Mesos: sorter/drf). Equal shares: fewer allocations so far, then the name.
 *
 * Siblings stay sorted: a change moves one node at each level. Only when the totals change is everything sorted again.
 */
export class ShareTree {
  readonly #root = new Node('', undefined);
  readonly #clients = new Map<string, Node>();
  readonly #weights = new Map<string, number>();
  readonly #totals: Totals;
  readonly #excluded: ReadonlySet<string>;
  #version: number;

  /** `excluded`: names that make no share, such as `gpus` where they are scarce (Mesos: fair_sharing_excluded_resource_names). */
  constructor(totals: Totals, excluded: ReadonlySet<string>) {
    this.#totals = totals;
    this.#excluded = excluded;
    this.#version = totals.version;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** True while no client is active. */
  get idle(): boolean {
    return this.#root.order.length === 0;
  }

  /** Active from the start. */
  add(client: string): void {
    if (this.#clients.has(client)) return;
    let node = this.#root;
    for (const part of client.split('/')) {
      const child = node.children.get(part) ?? new Node(part, node);
      if (!node.children.has(part)) {
        child.weight = this.#weights.get(pathOf(child)) ?? 1;
        node.children.set(part, child);
      }
      node = child;
    }
    const leaf = new Node(SELF, node, client);
    node.children.set(SELF, leaf);
    this.#clients.set(client, leaf);
    this.activate(client, true);
  }

  /** What it still has allocated goes with it. */
  remove(client: string): void {
    const leaf = this.#clients.get(client);
    if (leaf === undefined) return;
    this.activate(client, false);
    for (const [name, amount] of [...leaf.allocated]) this.#change(leaf, [{ name, scalar: amount }], -1);
    this.#clients.delete(client);
    for (let node: Node | undefined = leaf; node?.parent !== undefined && node.children.size === 0; node = node.parent)
      node.parent.children.delete(node.name);
  }

  /** An inactive one keeps its share, and is not found. */
  activate(client: string, active: boolean): void {
    const leaf = this.#clients.get(client);
    if (leaf === undefined || leaf.active === active) return;
    leaf.active = active;
    for (let node: Node = leaf; node.parent !== undefined; node = node.parent) {
      if (active) {
        node.live++;
        if (node.live === 1) this.#place(node);
      } else {
        if (node.live === 1) this.#displace(node);
        node.live--;
      }
    }
  }

  /** Of a path, whether or not there are clients below it yet; default 1. */
  setWeight(path: string, weight: number): void {
    if (weight === 1) this.#weights.delete(path);
    else this.#weights.set(path, weight);
    let node: Node | undefined = this.#root;
    for (const part of path.split('/')) node = node?.children.get(part);
    if (node === undefined) return;
    if (node.live > 0) this.#displace(node);
    node.weight = weight;
    node.share = this.#shareOf(node);
    if (node.live > 0) this.#place(node);
  }

  allocated(client: string, resources: Resources): void {
    const leaf = this.#clients.get(client);
    if (leaf !== undefined) this.#change(leaf, resources, 1);
  }

  unallocated(client: string, resources: Resources): void {
    const leaf = this.#clients.get(client);
    if (leaf !== undefined) this.#change(leaf, resources, -1);
  }

  /** What a client holds, or everything below a path that is none. */
  held(path: string): Tally {
    return this.#at(path)?.allocated ?? new Map();
  }

  /** Dominant share of all at or below a path, not weighted: 0 to 1. */
  share(path: string): number {
    const node = this.#at(path);
    return node === undefined ? 0 : this.#dominantShare(node.allocated);
  }

  /** The first active client, in order, for which `takes` is true. `takes` changes nothing in the tree. */
  find(takes: (client: string) => boolean): string | undefined {
    this.#refresh();
    return firstBelow(this.#root, takes);
  }

  /** All active clients, in order. */
  sorted(): string[] {
    const clients: string[] = [];
    this.find((client) => {
      clients.push(client);
      return false;
    });
    return clients;
  }

  #at(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path.split('/')) node = node?.children.get(part);
    return node;
  }

  #change(leaf: Node, resources: Resources, sign: 1 | -1): void {
    for (let node: Node = leaf; node.parent !== undefined; node = node.parent) {
      if (node.live > 0) this.#displace(node);
      addTo(node.allocated, resources, sign);
      if (sign === 1) node.count++;
      node.share = this.#shareOf(node);
      if (node.live > 0) this.#place(node);
    }
  }

  /** While the totals have changed the order means nothing, and is made anew when it is next asked for. */
  get #isStale(): boolean {
    return this.#version !== this.#totals.version;
  }

  #place(node: Node): void {
    const siblings = node.parent?.order ?? [];
    if (this.#isStale) siblings.push(node);
    else siblings.splice(placeOf(siblings, node), 0, node);
  }

  #displace(node: Node): void {
    const siblings = node.parent?.order ?? [];
    const guess = this.#isStale ? -1 : placeOf(siblings, node);
    const at = siblings[guess] === node ? guess : siblings.indexOf(node);
    if (at >= 0) siblings.splice(at, 1);
  }

  #refresh(): void {
    if (!this.#isStale) return;
    this.#version = this.#totals.version;
    this.#sortBelow(this.#root);
  }

  #sortBelow(node: Node): void {
    for (const child of node.children.values()) {
      child.share = this.#shareOf(child);
      if (child.children.size > 0) this.#sortBelow(child);
    }
    node.order.sort(compare);
  }

  #shareOf(node: Node): number {
    return this.#dominantShare(node.allocated) / node.weight;
  }

  #dominantShare(allocated: Tally): number {
    let share = 0;
    for (const [name, amount] of allocated) {
      const total = this.#totals.tally.get(name) ?? 0;
      if (total > 0 && !this.#excluded.has(name)) share = Math.max(share, amount / total);
    }
    return share;
  }
}

function firstBelow(node: Node, takes: (client: string) => boolean): string | undefined {
  for (const child of node.order) {
    if (child.client === undefined) {
      const found = firstBelow(child, takes);
      if (found !== undefined) return found;
    } else if (takes(child.client)) return child.client;
  }
  return undefined;
}

function pathOf(node: Node): string {
  return node.parent?.parent === undefined ? node.name : `${pathOf(node.parent)}/${node.name}`;
}

function compare(left: Node, right: Node): number {
  return (
    left.share - right.share ||
    left.count - right.count ||
    (left.name < right.name ? -1 : left.name > right.name ? 1 : 0)
  );
}

/** Where it is, or belongs, among sorted siblings. */
function placeOf(siblings: readonly Node[], node: Node): number {
  let from = 0;
  let to = siblings.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const sibling = siblings[middle];
    if (sibling !== undefined && compare(sibling, node) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}
