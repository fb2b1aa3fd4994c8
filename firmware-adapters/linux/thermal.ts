import { numberIn, type TextFiles } from '../text-files.ts';

const FOLDER = '/sys/class/thermal';
/** What no chip could report of itself and live: a powered-down sensor of a Jetson says −256. */
const COLDEST_C = -60;
const HOTTEST_C = 150;
/** Power chips of Jetsons that always say 50 or 100, and radios, which the board cannot cool. */
const NOT_THE_BOARD = /pmic|iwlwifi|ath\d+k|nvme/i;

/** Degrees from `temp` of a zone (thousandths); undefined for what no sensor can mean. */
export function zoneDegrees(text: string | undefined): number | undefined {
  const thousandths = numberIn(text);
  return thousandths === undefined ? undefined : sensible(thousandths / 1000);
}

export function sensible(degrees: number): number | undefined {
  return degrees >= COLDEST_C && degrees <= HOTTEST_C ? degrees : undefined;
}

/** True for sensors that tell how hot the board is. */
export function isOfBoard(sensor: string): boolean {
  return !NOT_THE_BOARD.test(sensor);
}

/** The hottest zone of the board; zones that do not answer, or are not in this chip, are as if they were not there. */
export async function hottestZone(texts: TextFiles): Promise<number | undefined> {
  const names = await texts.names(FOLDER);
  const zones = names.filter((name) => /^thermal_zone\d+$/.test(name));
  const degrees = await Promise.all(
    zones.map(async (zone) => {
      const [type, temp] = await Promise.all([
        texts.text(`${FOLDER}/${zone}/type`),
        texts.text(`${FOLDER}/${zone}/temp`),
      ]);
      return isOfBoard(type ?? '') ? zoneDegrees(temp) : undefined;
    }),
  );
  const known = degrees.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
