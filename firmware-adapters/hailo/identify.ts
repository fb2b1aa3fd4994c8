/** One accelerator in what `hailortcli fw-control identify` prints. */
export interface HailoIdentity {
  /** `0001:01:00.0`; undefined where it does not say. */
  readonly address: string | undefined;
  /** `HAILO8`, `HAILO8L`: the board's name is the same for both. */
  readonly architecture: string | undefined;
  readonly firmware: string | undefined;
}

const DEVICES = 16;
const LINE = 500;

/** A block for each device, begun by `Executing on device: …`; values in `<…>` are not known. */
export function parseIdentify(text: string): readonly HailoIdentity[] {
  const found: { -readonly [Name in keyof HailoIdentity]: HailoIdentity[Name] }[] = [];
  for (const whole of text.split('\n')) {
    const [, name = '', value = ''] = /^([A-Za-z ]{1,40}):\s*(.*)$/.exec(whole.slice(0, LINE).trim()) ?? [];
    if (name === 'Executing on device' || (found.length === 0 && name !== '')) {
      if (found.length >= DEVICES) break;
      found.push({ address: undefined, architecture: undefined, firmware: undefined });
    }
    const last = found.at(-1);
    if (last === undefined) continue;
    if (name === 'Executing on device' && /^[0-9a-f:.]{1,20}$/i.test(value)) last.address = value.toLowerCase();
    if (name === 'Device Architecture' && /^\w{1,32}$/.test(value)) last.architecture = value;
    if (name === 'Firmware Version') last.firmware = /^\d{1,4}(?:\.\d{1,4}){1,3}/.exec(value)?.[0];
  }
  return found.filter((one) => Object.values(one).some((value) => value !== undefined));
}
