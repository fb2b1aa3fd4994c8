import type { TextFiles } from '../text-files.ts';

/** Names that Linux gives to modems. */
const MODEM = /^(?:wwan|wwp|wwx|ppp|rmnet)/;

/**
 * The interface that the cheapest default route leaves by, of `/proc/net/route`: columns by their names in the first line,
 * numbers in hexadecimal but for the metric. Undefined where there is none.
 */
export function defaultInterface(routes: string): string | undefined {
  const [header = '', ...lines] = routes.split('\n').slice(0, 1_000);
  const columns = header.trim().split(/\s+/);
  const at = (name: string): number => columns.indexOf(name);
  let best: { name: string; metric: number } | undefined;
  for (const line of lines) {
    const fields = line.trim().split(/\s+/);
    const name = fields[at('Iface')];
    const metric = Number(fields[at('Metric')] ?? 0);
    if (name === undefined || fields[at('Destination')] !== '00000000' || fields[at('Mask')] !== '00000000') continue;
    if (Number.isFinite(metric) && metric < (best?.metric ?? Number.POSITIVE_INFINITY)) best = { name, metric };
  }
  return best !== undefined && /^[\w.:-]{1,64}$/.test(best.name) ? best.name : undefined;
}

/** True where packets leave by a modem; undefined where there is no way out. Other links are metered where `--metered` says so. */
export async function isMetered(texts: TextFiles): Promise<boolean | undefined> {
  const name = defaultInterface((await texts.text('/proc/net/route')) ?? '');
  if (name === undefined) return undefined;
  if (MODEM.test(name)) return true;
  return /^DEVTYPE=wwan$/m.test((await texts.text(`/sys/class/net/${name}/uevent`)) ?? '');
}
