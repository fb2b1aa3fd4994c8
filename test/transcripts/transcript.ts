import { decode } from '../../protocol/envelope.ts';
import { Fault } from '../../protocol/faults.ts';
import { formatResources, type Resources } from '../../protocol/resources.ts';
import type { SimulatedNetwork } from '../sim/network.ts';

const SPEAKERS = /^(?:agents|frameworks)\/([^/]+)\/(up|bulk|presence|call)$|^clients\/([^/]+)\/[^/]+\/request$/;
const HEARERS = /^(?:agents|frameworks|clients)\/([^/]+)\//;
/**
 * What travels, a line a message: virtual milliseconds since the transcript began, who to whom, topic, type and fields.
 * What chance mints is shown as `<1>`, `<2>`… in the order of its first appearance, so that a line changes only where
 * the conversation does.
 */
export class Transcript {
  readonly lines: string[] = [];
  readonly #minted: ReadonlySet<string>;
  readonly #labels = new Map<string, string>();

  /** `minted`: the words that chance made so far. Of `state/` and `events/` nothing is shown. */
  constructor(network: SimulatedNetwork, minted: ReadonlySet<string>) {
    this.#minted = minted;
    const before = network.onPublish;
    const start = network.clock.monotonic();
    network.onPublish = (topic, payload, retain) => {
      before(topic, payload, retain);
      const path = topic.replace(/^mesq\//, '');
      if (/^(state|events)\//.test(path)) return;
      this.lines.push(this.#line(Math.round(network.clock.monotonic() - start), path, payload, retain));
    };
  }

  /** Says what the test does, or what happens where no message tells. */
  note(text: string): void {
    this.lines.push(`-- ${text}`);
  }

  toString(): string {
    return `${this.lines.join('\n')}\n`;
  }

  #line(ms: number, path: string, payload: Uint8Array, retain: boolean): string {
    const spoken = SPEAKERS.exec(path);
    const speaker = spoken?.[1] ?? spoken?.[3];
    const ends = speaker === undefined ? `master → ${HEARERS.exec(path)?.[1] ?? 'all'}` : `${speaker} → master`;
    return `${String(ms).padStart(7)} ${ends} · ${path}${retain ? ' (retained)' : ''} · ${this.#label(said(payload))}`;
  }

  #label(text: string): string {
    return text.replace(/[a-z][a-z2-7]{3,31}/g, (word) => {
      if (!this.#minted.has(word)) return word;
      const known = this.#labels.get(word) ?? `<${this.#labels.size + 1}>`;
      this.#labels.set(word, known);
      return known;
    });
  }
}

function said(payload: Uint8Array): string {
  if (payload.length === 0) return '(empty)';
  const decoded = decode(payload);
  if (decoded instanceof Fault) return `(unreadable: ${decoded.code})`;
  const { v: _, type = '', ...fields } = decoded.value as Record<string, unknown>;
  return `${decoded.encoding === 'json' ? 'JSON ' : ''}${String(type)} ${JSON.stringify(fields, shorter)}`.trim();
}

function shorter(key: string, value: unknown): unknown {
  if (key === 'resources' && Array.isArray(value)) return formatResources(value as Resources);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return typeof value === 'string' && value.length > 120 ? `${value.slice(0, 120)}…` : value;
}
