import { numberIn } from '../text-files.ts';

/** No board has more rails than this many lines. */
const LINES = 200;
/** Below it the firmware speaks of under-voltage. */
const UNDER_VOLTS = 4.63;

/** `temp=39.2'C` of `measure_temp`. */
export function parseTemperature(text: string): number | undefined {
  return numberIn(/^temp=(-?[\d.]{1,8})'C$/m.exec(text)?.[1]);
}

/** What `pmic_read_adc` of a Raspberry Pi 5 says: amperes and volts of each rail, of which names pair up as `3V3_SYS_A` and `3V3_SYS_V`. */
export interface Rails {
  /** Sum over the rails that have both: all but what hangs on USB and on the 5 V pins. */
  readonly powerW: number | undefined;
  /** At the USB-C plug. */
  readonly inputV: number | undefined;
}

export function parseRails(text: string): Rails {
  const amperes = new Map<string, number>();
  const volts = new Map<string, number>();
  for (const line of text.split('\n').slice(0, LINES)) {
    // Names hold digits, V and A themselves: the number is behind the `=`.
    const [, name = '', kind, , value] =
      /^\s*([0-9A-Z_]{1,40})_([AV])\s+(current|volt)\(\d{1,4}\)=([\d.]{1,20})[AV]\s*$/.exec(line) ?? [];
    const number = numberIn(value?.slice(0, 12));
    if (number !== undefined) (kind === 'A' ? amperes : volts).set(name, number);
  }
  const watts = [...amperes].flatMap(([name, current]) => {
    const voltage = volts.get(name);
    return voltage === undefined ? [] : [current * voltage];
  });
  return {
    powerW: watts.length === 0 ? undefined : watts.reduce((sum, one) => sum + one, 0),
    inputV: volts.get('EXT5V'),
  };
}

/** True where the plug gives too little now: the converter looks too seldom to see short dips, the firmware's bits do. */
export function isTooLow({ inputV }: Rails): boolean {
  return inputV !== undefined && inputV > 1 && inputV < UNDER_VOLTS;
}

/** `supported=1 detected=1`, or `…, libcamera interfaces=1`: how many; undefined for a board that does not know the command. */
export function parseCameras(text: string): number | undefined {
  const found = [...text.matchAll(/(?:^|[\s,])(?:detected|libcamera interfaces)=(\d{1,2})(?=$|[\s,])/g)];
  return found.length === 0 ? undefined : Math.max(...found.map(([, count]) => Number(count)));
}
