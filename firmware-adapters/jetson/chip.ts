import type { TextFiles } from '../text-files.ts';

/** Chips by their name in `compatible`, and what NVIDIA calls the GPU in them. */
const CHIPS: ReadonlyMap<string, string> = new Map([
  ['nvidia,tegra210', 'tegra-x1'],
  ['nvidia,tegra186', 'tegra-x2'],
  ['nvidia,tegra194', 'xavier'],
  ['nvidia,tegra234', 'orin'],
  ['nvidia,tegra264', 'thor'],
]);

/** The same by what the model says, for where there is no `compatible`. An Orin Nano is an Orin, and no Nano. */
const MODELS: readonly (readonly [said: RegExp, chip: string])[] = [
  [/\bThor\b/, 'thor'],
  [/\bOrin\b/, 'orin'],
  [/\bXavier\b|^Jetson-AGX$/, 'xavier'],
  [/\bTX2\b|^quill$/, 'tegra-x2'],
  [/\bJetson (?:Nano|TX1)\b/, 'tegra-x1'],
];

/** The chip of a Tegra board; `tegra` for one that nothing names; undefined where it is none. */
export async function tegraOf(texts: TextFiles): Promise<string | undefined> {
  const [compatible, model, release] = await Promise.all([
    texts.text('/proc/device-tree/compatible'),
    texts.text('/proc/device-tree/model'),
    texts.text('/etc/nv_tegra_release'),
  ]);
  const name = (compatible ?? '').split('\0').find((one) => one.startsWith('nvidia,tegra'));
  if (name !== undefined) return CHIPS.get(name) ?? /^nvidia,(tegra\w{0,20})/.exec(name)?.[1];
  const known = MODELS.find(([said]) => said.test(model ?? ''));
  if (known !== undefined && (/\bJetson\b/i.test(model ?? '') || release !== undefined)) return known[1];
  return release !== undefined && /^# R\d/.test(release) ? 'tegra' : undefined;
}
