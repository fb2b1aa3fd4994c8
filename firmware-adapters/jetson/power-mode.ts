/** A power mode of a Jetson: numbers differ from board to board, names are NVIDIA's (`15W`, `MAXN`). */
export interface PowerMode {
  readonly id: number;
  readonly name: string;
}

const NAME = /^[\w.+-]{1,40}$/;
const MODES = 64;

/** `nvpmodel -q`: a line `NV Power Mode: MAXN`, its number on the next, perhaps warnings before. Undefined where none is set. */
export function parsePowerMode(text: string): PowerMode | undefined {
  const lines = text.split('\n').slice(0, 100);
  const at = lines.findIndex((line) => /^NV Power Mode:/.test(line.trim()));
  const name = (lines[at] ?? '').replace(/^\s*NV Power Mode:\s*/, '').trim();
  const id = lines.slice(at + 1).find((line) => /^\s*\d{1,3}\s*$/.test(line));
  return at < 0 || !NAME.test(name) || id === undefined ? undefined : { id: Number(id), name };
}

/** The modes of `/etc/nvpmodel.conf`: `< POWER_MODEL ID=0 NAME=15W >` begins each. */
export function parsePowerModes(text: string): readonly PowerMode[] {
  const modes: PowerMode[] = [];
  for (const [, id = '', name = ''] of text.matchAll(/^<\s*POWER_MODEL\s+ID=(\d{1,3})\s+NAME=(\S{1,41}?)\s*>/gm)) {
    if (modes.length >= MODES) break;
    if (NAME.test(name) && !modes.some((mode) => mode.id === Number(id))) modes.push({ id: Number(id), name });
  }
  return modes;
}

/** `/var/lib/nvpmodel/status`, which anybody may read: `pmode:0002`. */
export function parseModeStatus(text: string): number | undefined {
  const id = /^pmode:(\d{1,6})/.exec(text)?.[1];
  return id === undefined ? undefined : Number(id);
}
