import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Will } from '../../io/bus.ts';
import { systemClock } from '../../io/node/clock.ts';
import { createLog } from '../../io/node/log.ts';
import { connectMqttBus, type MqttBus } from '../../io/node/mqtt-bus.ts';
import { systemRandom } from '../../io/node/random.ts';
import type { BusHarness } from './bus.ts';

/** Stands between a client and a broker, to break their connections without a word. */
export class TcpProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private broken = false;

  private constructor(port: number) {
    this.server = createServer((client) => {
      if (this.broken) {
        client.destroy();
        return;
      }
      const broker = connect(port, '127.0.0.1').setNoDelay(true);
      client.setNoDelay(true).pipe(broker).pipe(client);
      this.pair(client, broker);
      this.pair(broker, client);
    });
  }

  /** Listens on a free port of loopback, before the broker on `port`. */
  static async before(port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Cuts, and takes nobody until {@link mend}. */
  break(): void {
    this.broken = true;
    this.cut();
  }

  mend(): void {
    this.broken = false;
  }

  close(): void {
    this.server.close();
    this.cut();
  }

  private pair(socket: Socket, other: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.sockets.delete(socket);
      other.destroy();
    });
  }
}

export interface TcpHarness extends BusHarness {
  /** Closes all clients and proxies; the broker is the caller's. */
  close(): Promise<void>;
}

/** The conformance suite against any broker that takes anonymous clients on a port of loopback: `connectMqttBus` through a proxy each. */
export function tcpHarness(port: number): TcpHarness {
  const proxies = new Map<string, TcpProxy>();
  const buses: MqttBus[] = [];
  return {
    connect: async (clientId, will?: () => Will | undefined) => {
      const proxy = await TcpProxy.before(port);
      proxies.set(clientId, proxy);
      const bus = connectMqttBus({
        urls: [`mqtt://127.0.0.1:${proxy.port}`],
        clientId,
        ...(will && { will }),
        clock: systemClock,
        random: systemRandom,
        log: createLog({ level: 'error' }),
        connectTimeoutMs: 60_000,
      });
      buses.push(bus);
      await bus.ready(60_000);
      return bus;
    },
    cut: (clientId) => proxies.get(clientId)?.cut(),
    offline: (clientId) => proxies.get(clientId)?.break(),
    online: (clientId) => proxies.get(clientId)?.mend(),
    close: async () => {
      await Promise.all(buses.map((bus) => bus.close()));
      for (const proxy of proxies.values()) proxy.close();
    },
  };
}
