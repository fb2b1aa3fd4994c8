import type { BusError } from '../io/bus.ts';
import type { Log } from '../io/log.ts';
import { Fault } from '../protocol/faults.ts';

export interface Refusals {
  /** A broker has taken it. */
  connected(): void;
  /** A broker will not (CONNACK 2, 4 or 5). */
  refused(error: BusError): void;
}

/**
 * What an agent makes of a broker that refuses it. Before any has taken it a person must act: `fail`. Later, and where it is
 * a service that nobody looks at (no `fail`), it tries on, for the masters may know better soon; but why is in the log once,
 * with what to do.
 */
export function refusalsOf(name: string, log: Log, fail?: (fault: Fault) => void): Refusals {
  let connected = fail === undefined;
  const told = new Set<Fault['code']>();
  return {
    connected: () => {
      connected = true;
    },
    refused: (error) => {
      const fault = refusal(error, name);
      if (!connected) fail?.(fault);
      else if (!told.has(fault.code)) log.error(fault.message, { code: fault.code, hint: fault.hint });
      told.add(fault.code);
    },
  };
}

/** CONNACK 2 for an agent: somebody else speaks under its name. */
function refusal(error: BusError, name: string): Fault {
  if (error.code === 'BAD_CREDENTIALS')
    return new Fault('BAD_CREDENTIALS', `the broker does not accept agent ${name}: ${error.message}`);
  return new Fault(
    'NAME_TAKEN',
    `an agent named ${name} is connected already, from another data folder or machine`,
    `Start this one with another --name, for example ${name}-2.`,
  );
}
