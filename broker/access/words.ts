/** What a client may call itself and its topics: checked before anything else looks at them. */
export interface WordLimits {
  /** Bytes of a client id or user name. */
  readonly nameLength: number;
  /** Characters of a topic or filter, and its levels. */
  readonly topicLength: number;
  readonly topicLevels: number;
}

/**
 * U+0000 and ill-formed UTF-8 must be refused ([MQTT-1.5.3-1], [MQTT-1.5.3-2]), control characters and
 * non-characters should be (§1.5.3): they end up in logs, paths and terminals. The decoder has put U+FFFD where the
 * bytes were ill-formed.
 */
export function isWellFormed(text: string): boolean {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return false;
    if ((code >= 0xd800 && code <= 0xdfff) || code === 0xfffd || (code & 0xfffe) === 0xfffe) return false;
    if (code >= 0xfdd0 && code <= 0xfdef) return false;
  }
  return true;
}

export function isName(text: string, { nameLength }: WordLimits): boolean {
  return text.length <= nameLength && isWellFormed(text);
}

export function isTopicWord(text: string, { topicLength, topicLevels }: WordLimits): boolean {
  return text.length > 0 && text.length <= topicLength && text.split('/').length <= topicLevels && isWellFormed(text);
}
