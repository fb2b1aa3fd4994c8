import {
  type ActionResult,
  DEVICE_LIMITS,
  type DeviceFacts,
  type DeviceFirmware,
  type DeviceMessage,
  deviceAttributes,
  failed,
  type Learnt,
  NOTHING_LEARNT,
  type Script,
} from '../device.ts';
import { ESPHOME_ACTIONS, esphomeScript } from './actions.ts';
import { type Announced, announced, type Entity } from './discovery.ts';

type About = Omit<Announced, 'entity' | 'mac' | 'prefix'>;

interface Known {
  readonly mac: string;
  prefix: string;
  /** Of itself. */
  own: About;
  /** Beside its entities, in words that differ a little: where it says nothing itself. */
  aside: About;
  online: boolean;
  /** By component and object. */
  readonly entities: Map<string, Entity>;
  readonly states: Map<string, string>;
}

/** ESPHome's devices on a broker (esphome.io/components/mqtt): found by what they announce, with or without Home Assistant. */
export class EsphomeFirmware implements DeviceFirmware {
  readonly name = 'esphome';
  readonly actions = ESPHOME_ACTIONS;
  readonly filters: readonly string[] = ['esphome/discover/+', 'homeassistant/+/+/+/config'];
  readonly #only: string | undefined;
  /** By MAC address. */
  readonly #known = new Map<string, Known>();
  /** Topic prefix → MAC address of the board that has it now. */
  readonly #prefixes = new Map<string, string>();

  /** `prefix`: the device with that topic prefix alone. */
  constructor(prefix?: string) {
    this.#only = prefix;
  }

  hear(message: DeviceMessage): Learnt {
    if (message.text.length > DEVICE_LIMITS.textLength) return NOTHING_LEARNT;
    const told = announced(message);
    if (told !== undefined) return this.#announced(told);
    const known = this.#known.get(this.ownerOf(message.topic) ?? '');
    if (known === undefined) return NOTHING_LEARNT;
    if (message.topic === `${known.prefix}/status`) {
      const online = message.text === 'online';
      if (known.online === online) return NOTHING_LEARNT;
      known.online = online;
      return { ...NOTHING_LEARNT, changed: [known.mac] };
    }
    // A state that is retained may come before the announcement of what has it.
    const isState = /^[^/]+\/[^/]+\/state$/.test(message.topic.slice(known.prefix.length + 1));
    const hasRoom = known.states.has(message.topic) || known.states.size < DEVICE_LIMITS.entities;
    if (isState && hasRoom && message.text.length <= 1_024) known.states.set(message.topic, message.text);
    return NOTHING_LEARNT;
  }

  device(id: string): DeviceFacts | undefined {
    const known = this.#present(id);
    if (known === undefined) return undefined;
    const { prefix, online, entities } = known;
    const about = { ...known.aside, ...known.own };
    const relays = [...entities.values()].filter(({ component }) => component === 'switch').length;
    const name = prefix.slice(prefix.lastIndexOf('/') + 1);
    return {
      id,
      name,
      hostname: name,
      online,
      attributes: deviceAttributes({
        board: 'esphome',
        model: about.model,
        version: about.version?.slice(0, 64),
        platform: about.platform,
        device: about.friendlyName,
        ...(relays > 0 ? { relays } : {}),
      }),
      sample: {},
    };
  }

  ownerOf(topic: string): string | undefined {
    // A prefix may have levels of its own: the longest that is known.
    for (let at = topic.lastIndexOf('/'); at > 0; at = topic.lastIndexOf('/', at - 1)) {
      const mac = this.#prefixes.get(topic.slice(0, at));
      if (mac !== undefined) return mac;
    }
    return undefined;
  }

  script(id: string, argv: readonly string[]): Script | ActionResult {
    const known = this.#present(id);
    return known === undefined ? failed('the device is not known') : esphomeScript(view(known), argv);
  }

  /** Undefined also where another board has its prefix now: that is another device. */
  #present(id: string): Known | undefined {
    const known = this.#known.get(id);
    return known !== undefined && this.#prefixes.get(known.prefix) === id ? known : undefined;
  }

  #announced({ mac, prefix, entity, ...about }: Announced): Learnt {
    let known = this.#known.get(mac);
    const isNew = known === undefined;
    if (this.#only !== undefined && prefix !== this.#only && known?.prefix !== this.#only) return NOTHING_LEARNT;
    if (known === undefined) {
      if (this.#known.size >= DEVICE_LIMITS.devices) return NOTHING_LEARNT;
      known = { mac, prefix, own: {}, aside: {}, online: false, entities: new Map(), states: new Map() };
      this.#known.set(mac, known);
    }
    const before = isNew ? '' : shown(known);
    if (entity === undefined) known.own = { ...known.own, ...about };
    else known.aside = { ...known.aside, ...about };
    // Where topic_prefix is not the name, only the entities say so.
    if (entity !== undefined) {
      if (known.prefix !== prefix && this.#prefixes.get(known.prefix) === mac) this.#prefixes.delete(known.prefix);
      known.prefix = prefix;
      if (known.entities.size < DEVICE_LIMITS.entities)
        known.entities.set(`${entity.component}/${entity.object}`, entity);
    }
    const holder = this.#prefixes.get(known.prefix);
    this.#prefixes.set(known.prefix, mac);
    const former = holder === undefined || holder === mac ? undefined : this.#known.get(holder);
    // Whoever has the prefix now has said by its status, before it announced itself, that it is there.
    if (former !== undefined) known.online = former.online;
    const isNews = former !== undefined || shown(known) !== before;
    return {
      changed: [...(former === undefined ? [] : [former.mac]), ...(isNews ? [mac] : [])],
      subscribe: [`${known.prefix}/status`, `${known.prefix}/+/+/state`, `${known.prefix}/ota/state`],
      publish: [],
    };
  }
}

/** What others see of it, to compare. */
function shown({ own, aside, prefix, entities }: Known): string {
  return JSON.stringify([{ ...aside, ...own }, prefix, entities.size]);
}

function view({ prefix, entities, states }: Known): {
  prefix: string;
  entities: Entity[];
  states: Map<string, string>;
} {
  return { prefix, entities: [...entities.values()], states };
}
