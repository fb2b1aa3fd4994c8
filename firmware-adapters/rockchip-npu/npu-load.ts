/**
 * How busy each core of a Rockchip NPU is, 0 to 1: `NPU load:  Core0:  0%, Core1:  7%, Core2:  0%,` of the driver's debugfs
 * (three cores), `NPU load:  37%` (one), or `7@300000000Hz` of devfreq. Empty for anything else.
 */
export function parseNpuLoad(text: string): readonly number[] {
  const line = text.slice(0, 1_000).trim();
  const devfreq = /^(\d{1,3})@\d{1,12}Hz$/.exec(line)?.[1];
  if (devfreq !== undefined) return [share(devfreq)];
  if (!/^NPU load:/.test(line)) return [];
  return [...line.matchAll(/(\d{1,3})%/g)].slice(0, 16).map(([, percent = '0']) => share(percent));
}

function share(percent: string): number {
  return Math.min(1, Number(percent) / 100);
}
