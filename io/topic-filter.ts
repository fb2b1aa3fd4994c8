/**
 * Whether a subscription to `filter` receives what is published on `topic` (MQTT 3.1.1 §4.7). Both are taken as valid.
 * `+` stands for one level, `#` for the rest including none of it ([MQTT-4.7.1-2]); neither matches, as first level,
 * a topic that starts with `$` ([MQTT-4.7.2-1]).
 */
export function matchesFilter(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  let at = 0;
  for (let index = 0; index < filter.length; index++) {
    const wanted = filter[index];
    if (wanted === '#') return true;
    if (wanted === '+') {
      const end = topic.indexOf('/', at);
      at = end === -1 ? topic.length : end;
    } else if (wanted === topic[at]) {
      at++;
    } else {
      return at === topic.length && index === filter.length - 2 && filter.endsWith('/#');
    }
  }
  return at === topic.length;
}

/** Whether a message may be published on `topic`: 1 to 65,535 bytes of UTF-8, no wildcard, no U+0000 ([MQTT-4.7.3-1] to -3). */
export function isTopic(topic: string): boolean {
  return isTopicText(topic) && !/[+#]/.test(topic);
}

/** Whether `filter` may be subscribed to: `+` is a whole level, `#` the whole last level ([MQTT-4.7.1-2], [MQTT-4.7.1-3]). */
export function isTopicFilter(filter: string): boolean {
  if (!isTopicText(filter)) return false;
  const levels = filter.split('/');
  return levels.every(
    (level, index) => level === '+' || (level === '#' && index === levels.length - 1) || !/[+#]/.test(level),
  );
}

function isTopicText(text: string): boolean {
  // A UTF-16 unit is at most 3 bytes of UTF-8: only a long text needs counting.
  return (
    text.length > 0 &&
    !text.includes('\0') &&
    !/\p{Surrogate}/u.test(text) &&
    (text.length <= 21_845 || utf8Length(text) <= 65_535)
  );
}

function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}
