import type { DeviceMessage } from '../device.ts';

/** The topics of one device, each with a slash at its end. */
export interface TasmotaTopics {
  readonly cmnd: string;
  readonly stat: string;
  readonly tele: string;
}

export const DEFAULT_FULL_TOPIC = '%prefix%/%topic%/';
const PREFIXES = ['cmnd', 'stat', 'tele'] as const;

/**
 * What a FullTopic (`%prefix%/%topic%/`, tasmota.github.io/docs/MQTT) stands for. Undefined where it is none that can be
 * listened to: with a wildcard, an unknown word, without the prefix, or too long.
 */
export function topicsOf(
  fullTopic: string,
  topic: string,
  prefixes: readonly string[] = PREFIXES,
  hostname = '',
): TasmotaTopics | undefined {
  const [cmnd, stat, tele] = prefixes.map((prefix) => {
    const written = fullTopic
      .replace('%prefix%', () => prefix)
      .replace('%topic%', () => topic)
      .replace('%hostname%', () => hostname);
    return written.endsWith('/') ? written : `${written}/`;
  });
  if (cmnd === undefined || stat === undefined || tele === undefined) return undefined;
  const all = [cmnd, stat, tele];
  const sound = all.every((one) => one.length <= 200 && !/[+#%\p{Cc}]/u.test(one) && one.length > 1);
  return sound && new Set(all).size === 3 ? { cmnd, stat, tele } : undefined;
}

export function command({ cmnd }: TasmotaTopics, name: string, value: string): DeviceMessage {
  return { topic: `${cmnd}${name}`, text: value };
}
