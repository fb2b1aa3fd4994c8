import * as v from 'valibot';
import { FAULTS, type FaultCode, Fault } from './faults.ts';

/** A fault on the wire: `{code, message, hint}`. A code of a newer version is read as BAD_SHAPE with its own words. */
export const FaultSchema = v.pipe(
  v.object({
    code: v.pipe(v.string(), v.maxLength(64)),
    message: v.pipe(v.string(), v.maxLength(2_000)),
    hint: v.optional(v.pipe(v.string(), v.maxLength(2_000)), ''),
  }),
  v.transform(({ code, message, hint }) => {
    const known: FaultCode = code in FAULTS ? (code as FaultCode) : 'BAD_SHAPE';
    return new Fault(known, known === code ? message : `${code}: ${message}`, hint);
  }),
);
