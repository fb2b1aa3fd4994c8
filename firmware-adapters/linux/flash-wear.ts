import type { TextFiles } from '../text-files.ts';

const FOLDER = '/sys/class/block';

/**
 * How much of its life an eMMC has behind it, by `life_time` (JEDEC 5.0: for each of two kinds of cells 1 to 10 for up to
 * that many tenths, 11 for more than all) and `pre_eol_info` (2: four fifths of the spare blocks are used, 3: nearly all).
 * SD cards count nothing. Undefined where neither says something.
 */
export function wearOf(lifeTime: string | undefined, preEndOfLife: string | undefined): number | undefined {
  const tenths = (lifeTime ?? '')
    .split(/\s+/)
    .map((word) => (/^(?:0x)?[0-9a-f]{1,2}$/i.test(word) ? Number.parseInt(word, 16) : 0))
    .filter((number) => number >= 1 && number <= 11);
  const spare = new Map([
    ['0x02', 0.8],
    ['0x03', 0.95],
  ]).get((preEndOfLife ?? '').toLowerCase());
  const known = [...tenths.map((number) => number / 10), ...(spare === undefined ? [] : [spare])];
  return known.length === 0 ? undefined : Math.max(...known);
}

/** The most worn eMMC of the machine. */
export async function flashWear(texts: TextFiles): Promise<number | undefined> {
  const disks = (await texts.names(FOLDER)).filter((name) => /^mmcblk\d+$/.test(name));
  const wears = await Promise.all(
    disks.map(async (disk) => {
      const device = `${FOLDER}/${disk}/device`;
      const [both, a, b, preEndOfLife] = await Promise.all([
        texts.text(`${device}/life_time`),
        texts.text(`${device}/device_life_time_est_typ_a`),
        texts.text(`${device}/device_life_time_est_typ_b`),
        texts.text(`${device}/pre_eol_info`),
      ]);
      return wearOf(both ?? [a, b].filter((one) => one !== undefined).join(' '), preEndOfLife);
    }),
  );
  const known = wears.filter((wear) => wear !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
