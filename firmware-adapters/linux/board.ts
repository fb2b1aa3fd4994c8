import { slugOf } from '../attribute.ts';

/** What a machine says about its make, as a short name that constraints can be written with. */

/** Words of a device-tree model that tell nothing about what the board can do. */
const FILLERS = /\b(?:engineering reference|developer kit|super|rev(?:ision)? ?[\d.]+|model [ab](?: plus)?|board)\b/gi;

/** Boards of early JetPacks, by code name. */
const CODE_NAMES: ReadonlyMap<string, string> = new Map([
  ['quill', 'jetson-tx2'],
  ['jetson-agx', 'jetson-agx-xavier'],
]);

/** What PC makers leave in their firmware. */
const PLACEHOLDER =
  /o\.e\.m|oem|default string|system product name|not (?:applicable|specified)|^none$|^unknown$|^n\/a$/i;

/** Of a serial number. */
const SERIAL_LENGTH = 64;
const MODEL_LENGTH = 128;

/**
 * `NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super` is `jetson-orin-nano`, `Raspberry Pi 4 Model B Rev 1.4`
 * is `raspberry-pi-4`. Undefined where nothing is left.
 */
export function boardOf(model: string): string | undefined {
  const slug = slugOf(model.replace(FILLERS, ' '))?.replace(/^nvidia-(?=jetson)/, '');
  return slug === undefined ? undefined : (CODE_NAMES.get(slug) ?? slug);
}

/** A PC's product name (`XPS 13 9310` is `xps-13-9310`); undefined for what makers leave as it came. */
export function productOf(name: string): string | undefined {
  return PLACEHOLDER.test(name) ? undefined : slugOf(name);
}

/** The maker's own words (`Raspberry Pi 4 Model B Rev 1.4`), which `board` shortens; undefined for a placeholder. */
export function modelOf(text: string): string | undefined {
  const model = text
    .replace(/[^\x20-\x7e]/g, ' ')
    .replace(/ +/g, ' ')
    .trim()
    .slice(0, MODEL_LENGTH)
    .trimEnd();
  return model === '' || PLACEHOLDER.test(model) ? undefined : model;
}

const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ['aarch64', 'arm64'],
  ['x86_64', 'x64'],
  ['i686', 'ia32'],
  ['armv6l', 'arm'],
  ['armv7l', 'arm'],
  ['armv8l', 'arm'],
]);

/** Node's name of a processor by the kernel's (`uname -m`). */
export function architectureOf(machine: string): string {
  return ARCHITECTURES.get(machine) ?? machine;
}

/** `ID` of os-release(5): `debian`, `ubuntu`, `raspbian`, …; quotes are optional there. */
export function systemOf(osRelease: string): string | undefined {
  const id = /^ID=["']?([a-z0-9._-]{1,64})["']?\s*$/m.exec(osRelease)?.[1];
  return id;
}

/**
 * A serial number or UUID that can tell machines apart; undefined for the ones that whole series share: all zeros or
 * Fs, and the AMI firmware's example.
 */
export function serialOf(text: string): string | undefined {
  const serial = text
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '')
    .slice(0, SERIAL_LENGTH);
  const digits = serial.replaceAll('-', '');
  const isShared = /^(.)\1*$/.test(digits) || serial === '03000200-0400-0500-0006-000700080009';
  return digits === '' || isShared || PLACEHOLDER.test(text) ? undefined : serial;
}
