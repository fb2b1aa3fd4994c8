import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import mqttPacket, { type Packet } from 'mqtt-packet';
import type { Right } from '../../broker/access/access.ts';
import { type Broker, type BrokerLimits, startBroker } from '../../broker/broker.ts';
import type { Clock } from '../../io/clock.ts';
import { systemClock } from '../../io/node/clock.ts';
import { listen } from '../../io/node/listener.ts';
import { createLog } from '../../io/node/log.ts';

/** A broker to test, ours or a bare Aedes, on a free port. */
export interface Subject {
  readonly port: number;
  close(): Promise<void>;
}

export interface OurSubject extends Subject {
  readonly broker: Broker;
}

const EVERYTHING: Right[] = [{ filter: '#', publish: ['any'], subscribe: ['any'], retain: true }];

/** Ours, with everything allowed unless `rights` says otherwise, opened unless `closed`; a password `secret` is asked for where `guarded`. */
export async function ours(
  limits: Partial<BrokerLimits> = {},
  rights = EVERYTHING,
  closed = false,
  clock: Clock = systemClock,
): Promise<OurSubject> {
  const listener = await listen({ url: 'mqtt://127.0.0.1:0' });
  const broker = await startBroker({
    listeners: [listener],
    authenticate: ({ username, clientId }) => ({
      role: username?.split(':')[1] ?? 'any',
      name: username?.split(':')[0] ?? clientId.split(/[~/]/)[0] ?? '',
    }),
    rights,
    version: '0.0.0',
    clock,
    log: createLog({ level: 'error' }),
    limits,
  });
  if (!closed) broker.open();
  return { port: Number(new URL(listener.url).port), broker, close: () => broker.close() };
}

/** Aedes as it comes. */
export async function bare(): Promise<Subject> {
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      server.close();
    },
  };
}

/** A client that writes what it likes and reads packets one by one. */
export class RawClient {
  readonly socket: Socket;
  readonly #packets: Packet[] = [];
  readonly #parser = mqttPacket.parser();
  #wake: () => void = () => undefined;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.#parser.on('packet', (packet: Packet) => {
      this.#packets.push(packet);
      this.#wake();
    });
    socket.on('data', (bytes) => this.#parser.parse(bytes));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Connects and waits for the answer: its return code, or undefined where the connection was closed. */
  static async connect(
    port: number,
    clientId: string,
    over: object = {},
  ): Promise<{ client: RawClient; returnCode: number | undefined }> {
    const client = await RawClient.open(port);
    client.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId,
      keepalive: 60,
      ...over,
    } as Packet);
    const answer = await client.next('connack');
    return { client, returnCode: answer?.cmd === 'connack' ? answer.returnCode : undefined };
  }

  send(packet: Packet | Uint8Array): void {
    this.socket.write(packet instanceof Uint8Array ? packet : mqttPacket.generate(packet));
  }

  /** A packet of that kind that is here already. */
  take(cmd: Packet['cmd']): Packet | undefined {
    const at = this.#packets.findIndex((packet) => packet.cmd === cmd);
    return at < 0 ? undefined : this.#packets.splice(at, 1)[0];
  }

  /** The next packet of that kind; undefined once the connection is closed. One caller at a time. */
  async next(cmd: Packet['cmd']): Promise<Packet | undefined> {
    for (;;) {
      const packet = this.take(cmd);
      if (packet !== undefined) return packet;
      if (this.closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async subscribe(topic: string, qos: 0 | 1 = 0): Promise<number> {
    this.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] } as Packet);
    const answer = await this.next('suback');
    return answer?.cmd === 'suback' ? Number(answer.granted[0]) : -1;
  }

  publish(
    topic: string,
    payload: string | Buffer,
    over: { qos?: 0 | 1; retain?: boolean; messageId?: number } = {},
  ): void {
    this.send({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, ...over } as Packet);
  }

  /** Payloads of the next publishes, until one reads `end`. */
  async payloadsUntil(end: string): Promise<string[]> {
    const payloads: string[] = [];
    for (;;) {
      const packet = await this.next('publish');
      if (packet?.cmd !== 'publish') return payloads;
      const text = packet.payload.toString();
      if (text === end) return payloads;
      payloads.push(text);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
