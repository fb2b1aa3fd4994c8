import { Fault } from './faults.ts';
import { asBefore, asDisk, asResource, type Holdings, type Reservation, type Volume } from './holdings.ts';
import { mayRefine, type ResourceOperation, volumesIn } from './operations.ts';
import { add, intersect, subtract } from './resource-arithmetic.ts';
import { formatResources, type Resources } from './resources.ts';

/** Who converts: a framework under the role of its offer, or (both undefined) an operator, who may undo what anybody made. */
export interface Converter {
  readonly role: string | undefined;
  readonly by: string | undefined;
}

/** An operation, worked out: `from` turns into `to`, and the agent's holdings with it. */
export interface Conversion {
  readonly reservations: readonly Reservation[];
  readonly volumes: readonly Volume[];
  readonly from: Resources;
  readonly to: Resources;
  /** Volumes whose content is to be removed. */
  readonly destroyed: readonly Volume[];
}

/**
 * What an operation comes to on an agent with these holdings, or why it may not be. That `from` is there and free is for
 * the caller to see: a leader looks into the offer, the registry at what no task holds.
 */
export function convert(
  { reservations = [], volumes = [] }: Holdings,
  operation: ResourceOperation,
  converter: Converter,
): Conversion | Fault {
  const { resources } = operation;
  const foreign = resources.find(({ role }) => converter.role !== undefined && role !== converter.role);
  if (foreign !== undefined)
    return new Fault(
      'NOT_ALLOWED',
      `resources: ${formatResources([foreign])} is not of the offer's role, ${converter.role}`,
    );
  const same = { reservations, volumes, destroyed: [] };
  switch (operation.type) {
    case 'RESERVE': {
      const { from } = operation;
      const wrong = resources.find(({ role }) => role === undefined || !mayRefine(role, from));
      if (wrong !== undefined)
        return new Fault('BAD_SHAPE', `from: ${wrong.role} is neither ${from} nor below it, or it is that role itself`);
      const made: Reservation = { resources, from, by: converter.by };
      return { ...same, from: asBefore(made), to: resources, reservations: joined(reservations, made) };
    }
    case 'UNRESERVE':
      return unreserved(reservations, resources, converter, same);
    case 'CREATE': {
      const made = volumesIn(resources).map((volume) => ({ ...volume, by: converter.by }));
      const twice = made.find((volume) => find(volumes, volume) !== undefined);
      if (twice !== undefined)
        return new Fault('EXISTS', `resources: role ${twice.role} has a volume ${twice.volume} there already`);
      return { ...same, from: disksOf(made), to: resources, volumes: [...volumes, ...made] };
    }
    case 'DESTROY': {
      const gone = ours(volumes, resources, converter);
      if (gone instanceof Fault) return gone;
      return {
        ...same,
        from: resources,
        to: disksOf(gone),
        volumes: volumes.filter((volume) => !gone.includes(volume)),
        destroyed: gone,
      };
    }
    case 'GROW_VOLUME':
    case 'SHRINK_VOLUME': {
      const found = ours(volumes, resources, converter);
      if (found instanceof Fault) return found;
      const [before] = found;
      if (before === undefined) return new Fault('BAD_SHAPE', 'resources: one volume at a time');
      const { by } = operation;
      const grows = operation.type === 'GROW_VOLUME';
      if (!grows && by >= before.scalar)
        return new Fault('BAD_SHAPE', `by: volume ${before.volume} would be nothing; DESTROY ends it`);
      const after = { ...before, scalar: before.scalar + (grows ? by : -by) };
      const disk = asDisk({ role: before.role, scalar: by });
      return {
        ...same,
        from: grows ? [...resources, ...disk] : resources,
        to: grows ? asResource(after) : [...asResource(after), ...disk],
        volumes: volumes.map((volume) => (volume === before ? after : volume)),
      };
    }
  }
}

function disksOf(volumes: readonly Volume[]): Resources {
  return volumes.reduce<Resources>((sum, volume) => add(sum, asDisk(volume)), []);
}

function find(volumes: readonly Volume[], { volume, role }: Pick<Volume, 'volume' | 'role'>): Volume | undefined {
  return volumes.find((other) => other.volume === volume && other.role === role);
}

/** The volumes as they stand, if they are the converter's to change, and as large as it says. */
function ours(volumes: readonly Volume[], resources: Resources, { by, role }: Converter): Volume[] | Fault {
  const found: Volume[] = [];
  for (const named of volumesIn(resources)) {
    const known = find(volumes, named);
    if (known === undefined || known.scalar !== named.scalar)
      return new Fault('NOT_FOUND', `resources: there is no volume ${formatResources(asResource({ ...named, by }))}`);
    if (role !== undefined && known.by !== by)
      return new Fault('NOT_ALLOWED', `resources: volume ${named.volume} was made by ${known.by ?? 'an operator'}`);
    found.push(known);
  }
  return found;
}

/** One entry for each (from, by): the ledger does not grow with every operation. */
function joined(reservations: readonly Reservation[], made: Reservation): Reservation[] {
  const at = reservations.findIndex(({ from, by }) => from === made.from && by === made.by);
  const same = reservations[at];
  if (same === undefined) return [...reservations, made];
  return reservations.with(at, { ...same, resources: add(same.resources, made.resources) });
}

/** Newest first, out of what the converter may give back. */
function unreserved(
  reservations: readonly Reservation[],
  resources: Resources,
  { by, role }: Converter,
  same: Pick<Conversion, 'volumes' | 'destroyed'>,
): Conversion | Fault {
  const left: Reservation[] = [];
  let to: Resources = [];
  let missing = resources;
  for (const made of reservations.toReversed()) {
    const here = role === undefined || made.by === by ? intersect(made.resources, missing) : [];
    missing = subtract(missing, here);
    to = add(to, asBefore({ ...made, resources: here }));
    const rest = subtract(made.resources, here);
    if (rest.length > 0) left.unshift({ ...made, resources: rest });
  }
  if (missing.length === 0) return { ...same, from: resources, to, reservations: left };
  return new Fault(
    'NOT_FOUND',
    `resources: ${formatResources(missing)} was not reserved ${role === undefined ? 'here' : `by ${by}`}`,
    'What an agent was started with (--resources) is reserved there, and not here.',
  );
}
