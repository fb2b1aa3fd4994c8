/** The version of L4T, NVIDIA's Linux for Tegra, and the JetPack that brings it. */
export interface Release {
  /** `36.4.3` */
  readonly l4t: string;
  /** Undefined for a release of L4T that is newer than this table. */
  readonly jetpack: number | undefined;
}

const JETPACKS: ReadonlyMap<number, number> = new Map([
  [28, 3],
  [32, 4],
  [34, 5],
  [35, 5],
  [36, 6],
  [38, 7],
  [39, 7],
]);

/** The first line of `/etc/nv_tegra_release`: `# R36 (release), REVISION: 4.3, GCID: …`. Its `BOARD` is not the board. */
export function parseRelease(text: string): Release | undefined {
  const line = text.slice(0, 1_000).split('\n')[0] ?? '';
  const major = /(?:^|\s)R(\d{2,3})(?=[\s,(]|$)/.exec(line)?.[1];
  if (major === undefined) return undefined;
  const revision = /REVISION:\s*(\d{1,3}(?:\.\d{1,3}){0,2})/.exec(line)?.[1];
  return { l4t: revision === undefined ? major : `${major}.${revision}`, jetpack: JETPACKS.get(Number(major)) };
}
