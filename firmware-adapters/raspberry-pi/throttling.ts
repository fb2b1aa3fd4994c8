import type { Sample } from '../adapter.ts';

/** What the firmware of a Raspberry Pi has done to itself (vcgencmd(1), get_throttled): bits 0 to 3 now, 16 to 19 since boot. */
export interface Throttling {
  readonly underVoltage: boolean;
  /** Slower than it could be: the clock is capped, or throttled. The soft limit of a 3B+ over 60 °C is neither. */
  readonly throttled: boolean;
  readonly softTemperatureLimit: boolean;
}

const UNDER_VOLTAGE = 1;
const CAPPED = 2;
const THROTTLED = 4;
const SOFT_LIMIT = 8;
const SINCE_BOOT = 16;

/** `throttled=0x50005` of vcgencmd, or `50005` of sysfs, in hexadecimal both; undefined for the errors that come in their place. */
export function parseThrottled(text: string): { readonly now: Throttling; readonly sinceBoot: Throttling } | undefined {
  const hex = /^(?:throttled=)?(?:0x)?([0-9a-f]{1,8})$/i.exec(text.trim())?.[1];
  if (hex === undefined) return undefined;
  const bits = Number.parseInt(hex, 16);
  return { now: throttlingOf(bits), sinceBoot: throttlingOf(bits >>> SINCE_BOOT) };
}

function throttlingOf(bits: number): Throttling {
  return {
    underVoltage: (bits & UNDER_VOLTAGE) !== 0,
    throttled: (bits & (CAPPED | THROTTLED)) !== 0,
    softTemperatureLimit: (bits & SOFT_LIMIT) !== 0,
  };
}

/** The kernel's log: since boot, and now by what it said last. Undefined where it speaks of no voltage. */
export function voltageInLog(log: string): { readonly now: boolean } | undefined {
  const found = [...log.matchAll(/under-?voltage detected|voltage normalised/gi)];
  const last = found.at(-1)?.[0];
  if (!found.some(([text]) => /^under/i.test(text)) || last === undefined) return undefined;
  return { now: /^under/i.test(last) };
}

/** As a sample says it. */
export function throttlingSample(text: string | undefined): Sample | undefined {
  const parsed = text === undefined ? undefined : parseThrottled(text);
  if (parsed === undefined) return undefined;
  const { now, sinceBoot } = parsed;
  return {
    throttled: now.throttled,
    throttledSinceBoot: sinceBoot.throttled || now.throttled,
    underVoltage: now.underVoltage,
    underVoltageSinceBoot: sinceBoot.underVoltage || now.underVoltage,
  };
}
