import { type CheckpointRecord, readRecord } from './records.ts';

/** Registrations that the damage may have swallowed: the next one must be newer than all of them. */
const COUNTER_LEAP = 1_000_000;

/**
 * What an agent begins anew with, of the records that a damaged checkpoint has left: who it is, and the highest
 * leadership that it has heard. Of its runs nothing: which of them have ended cannot be told, and to start one again
 * that has would be to run it twice.
 *
 * @param otherwise its id as another file has it, for where no record does
 */
export function salvaged(records: Iterable<Uint8Array>, otherwise: string | undefined): CheckpointRecord[] {
  let agent: Extract<CheckpointRecord, { kind: 'AGENT' }> | undefined =
    otherwise === undefined ? undefined : { kind: 'AGENT', agent: otherwise };
  let [counter, generation, term] = [0, 0, 0];
  for (const bytes of records) {
    const record = readRecord(bytes);
    if (record?.kind === 'AGENT') agent = record;
    else if (record?.kind === 'COUNTER') counter = Math.max(counter, record.counter);
    else if (record?.kind === 'FENCE' && isLater(record, { generation, term })) ({ generation, term } = record);
  }
  return [
    ...(agent === undefined ? [] : [agent]),
    { kind: 'COUNTER', counter: counter + COUNTER_LEAP },
    { kind: 'FENCE', generation, term },
  ];
}

interface Leadership {
  readonly generation: number;
  readonly term: number;
}

function isLater(one: Leadership, other: Leadership): boolean {
  return one.generation === other.generation ? one.term > other.term : one.generation > other.generation;
}
