import { asObject, type DeviceMessage, jsonObject, macOf, textIn } from '../device.ts';

/** One thing of a device that has a state or takes commands. */
export interface Entity {
  /** `switch`, `light`, `sensor`, `number`, `button`, `update`, … */
  readonly component: string;
  readonly object: string;
  readonly stateTopic?: string;
  readonly commandTopic?: string;
  readonly unit?: string;
}

/** What an announcement says about a device. */
export interface Announced {
  readonly mac: string;
  /** Its topic prefix. */
  readonly prefix: string;
  readonly friendlyName?: string;
  readonly model?: string;
  readonly version?: string;
  readonly platform?: string;
  readonly entity?: Entity;
}

/**
 * What ESPHome says of itself, retained: `esphome/discover/<name>` (esphome.io/components/mqtt, discover_ip), or an entity
 * as Home Assistant wants it (`homeassistant/<component>/<node>/<object>/config`, in its abbreviations). Other firmware
 * announces itself to Home Assistant too: ESPHome's entities have the topics `<prefix>/<component>/<object>/…` and
 * `<prefix>/status`, and a device whose identifier is a MAC address.
 */
export function announced({ topic, text }: DeviceMessage): Announced | undefined {
  const name = /^esphome\/discover\/([^/]+)$/.exec(topic)?.[1];
  if (name !== undefined) return discovered(name, text);
  const entity = /^homeassistant\/([a-z_]+)\/[^/]+\/([^/]+)\/config$/.exec(topic);
  const [, component, object] = entity ?? [];
  return component === undefined || object === undefined ? undefined : entityOf(component, object, text);
}

function discovered(name: string, text: string): Announced | undefined {
  const told = jsonObject(text);
  const mac = macOf(textIn(told, 'mac'));
  if (mac === undefined || !isPrefix(name)) return undefined;
  return {
    mac,
    prefix: name,
    ...optional({
      friendlyName: textIn(told, 'friendly_name'),
      model: textIn(told, 'board'),
      version: textIn(told, 'version'),
      platform: textIn(told, 'platform'),
    }),
  };
}

function entityOf(component: string, object: string, text: string): Announced | undefined {
  const told = jsonObject(text);
  const device = asObject(told?.['dev']) ?? asObject(told?.['device']);
  const ids = device?.['ids'] ?? device?.['identifiers'];
  const id: unknown = Array.isArray(ids) ? ids[0] : ids;
  const mac = macOf(typeof id === 'string' ? id : undefined);
  const status = textIn(told, 'avty_t') ?? textIn(told, 'availability_topic');
  if (mac === undefined || status === undefined || !status.endsWith('/status')) return undefined;
  const prefix = status.slice(0, -'/status'.length);
  const stateTopic = textIn(told, 'stat_t') ?? textIn(told, 'state_topic');
  const commandTopic = textIn(told, 'cmd_t') ?? textIn(told, 'command_topic');
  const isOwn = (address: string | undefined): boolean =>
    address === undefined || (address.startsWith(`${prefix}/${component}/`) && !/[+#]/.test(address));
  if (!isPrefix(prefix) || !isOwn(stateTopic) || !isOwn(commandTopic)) return undefined;
  if (stateTopic === undefined && commandTopic === undefined) return undefined;
  return {
    mac,
    prefix,
    ...optional({
      friendlyName: textIn(device, 'name'),
      model: textIn(device, 'mdl') ?? textIn(device, 'model'),
      version: textIn(device, 'sw') ?? textIn(device, 'sw_version'),
    }),
    entity: {
      component,
      object,
      ...optional({
        stateTopic,
        commandTopic,
        unit: textIn(told, 'unit_of_meas') ?? textIn(told, 'unit_of_measurement'),
      }),
    },
  };
}

/** Can be listened to, and is none of the topics that all devices share. */
function isPrefix(prefix: string): boolean {
  return (
    prefix !== '' &&
    prefix.length <= 128 &&
    !/[+#\p{Cc}]/u.test(prefix) &&
    !/^(homeassistant|esphome)(\/|$)/.test(prefix)
  );
}

function optional<Fields extends Readonly<Record<string, string | undefined>>>(
  fields: Fields,
): { readonly [Name in keyof Fields]?: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Fields]?: string;
  };
}
