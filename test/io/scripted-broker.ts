import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';

/** Types of MQTT control packets ([MQTT-2.2.1], table 2.1). */
export const PACKET = { CONNECT: 1, PUBLISH: 3, SUBSCRIBE: 8, PINGREQ: 12, DISCONNECT: 14 } as const;

export interface Packet {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

/**
 * A broker that does what a test says: it answers packets, routes nothing, and refuses every filter that starts with
 * `denied`. For what a real one does only on a bad day.
 */
export class ScriptedBroker {
  /** CONNACK's return code; `silent` sends none, `drop` closes after accepting. */
  answer: number | 'silent' | 'drop' = 0;
  /** It delivers a message to who subscribes, and ends the connection instead of granting anything. */
  breaks = false;
  /** Whether it acknowledges messages and pings. */
  alive = true;
  /** All packets it ever got, of all connections. */
  readonly packets: Packet[] = [];
  /** The connections that are open. */
  readonly streams = new Set<Duplex>();
  private changed: () => void = () => {};
  private server: Server | undefined;

  /** Listens on a free port of loopback; closed by {@link close}. */
  async listen(): Promise<number> {
    this.server = createServer((socket) => this.serve(socket)).listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    this.server?.close();
    for (const stream of this.streams) stream.destroy();
  }

  /** Waits for the packet number `count` of `type`. */
  async got(type: number, count = 1): Promise<Packet> {
    for (;;) {
      const packet = this.all(type)[count - 1];
      if (packet !== undefined) return packet;
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
    }
  }

  all(type: number): Packet[] {
    return this.packets.filter((packet) => packet.type === type);
  }

  /** Sends a QoS 0 message to everybody. */
  send(topic: string, payload: string): void {
    const body = Buffer.concat([Buffer.from([0, topic.length]), Buffer.from(topic), Buffer.from(payload)]);
    for (const stream of this.streams) stream.write(Buffer.concat([Buffer.from([0x30, body.length]), body]));
  }

  serve(stream: Duplex): void {
    this.streams.add(stream);
    let buffered = Buffer.alloc(0);
    stream.on('error', () => {});
    stream.on('close', () => this.streams.delete(stream));
    stream.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      for (let next = take(buffered); next !== undefined; next = take(buffered)) {
        buffered = buffered.subarray(next.length);
        this.packets.push(next.packet);
        this.respond(stream, next.packet);
        this.changed();
      }
    });
  }

  private respond(stream: Duplex, { type, flags, body }: Packet): void {
    if (type === PACKET.CONNECT && this.answer !== 'silent') {
      stream.write(Buffer.from([0x20, 2, 0, this.answer === 'drop' ? 0 : this.answer]));
      if (this.answer === 'drop') stream.end();
    } else if (type === PACKET.SUBSCRIBE && this.breaks) {
      this.send('a', 'news');
      stream.end();
    } else if (type === PACKET.SUBSCRIBE) {
      const codes = filtersOf(body).map((filter) => (filter.startsWith('denied') ? 0x80 : 0));
      stream.write(Buffer.from([0x90, 2 + codes.length, ...body.subarray(0, 2), ...codes]));
    } else if (type === PACKET.PUBLISH && (flags & 6) === 2 && this.alive) {
      const at = 2 + body.readUInt16BE(0);
      stream.write(Buffer.from([0x40, 2, ...body.subarray(at, at + 2)]));
    } else if (type === PACKET.PINGREQ && this.alive) {
      stream.write(Buffer.from([0xd0, 0]));
    } else if (type === PACKET.DISCONNECT) {
      stream.end();
    }
  }
}

/** The filters of a SUBSCRIBE. */
export function filtersOf(body: Buffer): string[] {
  const filters: string[] = [];
  for (let at = 2; at < body.length; ) {
    const length = body.readUInt16BE(at);
    filters.push(body.toString('utf8', at + 2, at + 2 + length));
    at += 2 + length + 1;
  }
  return filters;
}

function take(bytes: Buffer): { packet: Packet; length: number } | undefined {
  let remaining = 0;
  for (let at = 1; at < Math.min(bytes.length, 5); at++) {
    const digit = bytes.readUInt8(at);
    remaining += (digit & 127) * 128 ** (at - 1);
    if (digit >= 128) continue;
    const length = at + 1 + remaining;
    if (bytes.length < length) return undefined;
    const first = bytes.readUInt8(0);
    return { packet: { type: first >> 4, flags: first & 15, body: bytes.subarray(at + 1, length) }, length };
  }
  return undefined;
}
