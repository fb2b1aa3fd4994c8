import { Fault } from './faults.ts';

/** The cluster that an agent follows. */
interface Followed {
  readonly uuid: string;
  readonly generation: number;
}

/** A master of cluster `ours` and an agent of another one have met: most often the only master was lost, and begun anew. */
export function otherClusterFault(ours: string, { uuid, generation }: Followed): Fault {
  return new Fault(
    'OTHER_CLUSTER',
    `this agent belongs to cluster ${uuid} (generation ${generation}), the master to ${ours}`,
    `If that master replaces a lost one: mesq restore --recreate ${uuid} --generation ${generation + 1} --data NEW, and start it with that folder; the agents and their tasks are kept. To move the agent instead, stop it and remove cluster.json in its data folder.`,
  );
}

/** A backup was restored under a generation that is no longer the newest. */
export function oldGenerationFault(ours: number, theirs: number): Fault {
  return new Fault(
    'OLD_GENERATION',
    `this agent follows generation ${theirs} of its cluster, the master is of generation ${ours}`,
    `Restore again with --generation ${theirs + 1}, and start the master with that folder.`,
  );
}

/** Two masters, or a backup restored twice: the same generation, and a term that is over. */
export function restoredTwiceFault(theirs: { generation: number; term: number }, own: { term: number }): Fault {
  return new Fault(
    'OLD_GENERATION',
    `a master of generation ${theirs.generation} leads in term ${theirs.term}; this agent has followed term ${own.term} of it`,
    `If the same backup was restored twice: mesq restore FILE --generation ${theirs.generation + 1}. A master that was cut off notices by itself.`,
  );
}
