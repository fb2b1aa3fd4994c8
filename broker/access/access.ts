/** One row of the table: who may publish and subscribe below a filter. `{name}` stands for the speaker's own name. */
export interface Right {
  readonly filter: string;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** Whether what its publishers send may be retained. Default false: what is retained is the master's word. */
  readonly retain?: boolean;
}

/** Who speaks, as the credential says. */
export interface Speaker {
  readonly role: string;
  readonly name: string;
}

/** `filtered`: granted, and each message is checked at delivery. */
export type SubscribeVerdict = 'granted' | 'filtered' | 'refused';

/** What one speaker may do: the table with the name filled in. */
export interface Access {
  mayPublish(topic: string): boolean;
  mayRetain(topic: string): boolean;
  maySubscribe(filter: string): SubscribeVerdict;
  mayReceive(topic: string): boolean;
}

/** Of a connection that is being cut: nothing that it has sent and nobody has read yet counts any more. */
export const NO_ACCESS: Access = {
  mayPublish: () => false,
  mayRetain: () => false,
  maySubscribe: () => 'refused',
  mayReceive: () => false,
};

/**
 * The access of a speaker under a table. A filter that can match only what the speaker may read is granted; one that
 * can match something of it and more (`#`, `mesq/#`, as MQTT Explorer subscribes) is granted and filtered; one that
 * can match nothing of it is refused.
 */
export function accessOf(rights: readonly Right[], { role, name }: Speaker): Access {
  const own = (filter: string): string[] => filter.split('/').map((level) => (level === '{name}' ? name : level));
  // A name with a wildcard in it would own everybody's topics.
  const table = /[+#/]/.test(name) ? rights.filter(({ filter }) => !filter.includes('{name}')) : rights;
  const published = table.filter((right) => right.publish.includes(role));
  const publish = published.map(({ filter }) => own(filter));
  const retain = published.filter((right) => right.retain === true).map(({ filter }) => own(filter));
  const subscribe = table.filter((right) => right.subscribe.includes(role)).map(({ filter }) => own(filter));
  return {
    mayPublish: (topic) => {
      const levels = topic.split('/');
      return publish.some((filter) => covers(filter, levels));
    },
    mayRetain: (topic) => {
      const levels = topic.split('/');
      return retain.some((filter) => covers(filter, levels));
    },
    maySubscribe: (filter) => {
      const levels = filter.split('/');
      if (levels[0] === '$share') return 'refused';
      if (subscribe.some((allowed) => covers(allowed, levels))) return 'granted';
      return subscribe.some((allowed) => overlaps(allowed, levels)) ? 'filtered' : 'refused';
    },
    mayReceive: (topic) => {
      const levels = topic.split('/');
      return subscribe.some((filter) => covers(filter, levels));
    },
  };
}

/** Everything that `inner` (a topic or a filter) matches, `outer` matches too. */
function covers(outer: readonly string[], inner: readonly string[]): boolean {
  for (let at = 0; ; at++) {
    const wanted = outer[at];
    const level = inner[at];
    if (wanted === '#') return at > 0 || level?.startsWith('$') !== true;
    if (wanted === undefined || level === undefined) return wanted === level;
    if (level === '#' || (level === '+' && wanted !== '+')) return false;
    if (wanted !== '+' && wanted !== level) return false;
  }
}

/** Some topic matches both. Wildcards at the first level do not match `$` topics ([MQTT-4.7.2-1]). */
function overlaps(left: readonly string[], right: readonly string[]): boolean {
  const hidden = (one: string | undefined, other: string | undefined): boolean =>
    one?.startsWith('$') === true && (other === '#' || other === '+');
  if (hidden(left[0], right[0]) || hidden(right[0], left[0])) return false;
  for (let at = 0; ; at++) {
    const one = left[at];
    const other = right[at];
    if (one === '#' || other === '#') return true;
    if (one === undefined || other === undefined) return one === other;
    if (one !== '+' && other !== '+' && one !== other) return false;
  }
}
