/** The public SDK in a Node process: a driver or a client from a URL and a token. */
import { BusError } from '../io/bus.ts';
import type { Log } from '../io/log.ts';
import { systemClock } from '../io/node/clock.ts';
import { connectLines } from '../io/node/line-socket.ts';
import { createLog } from '../io/node/log.ts';
import { connectMqttBus } from '../io/node/mqtt-bus.ts';
import { systemRandom } from '../io/node/random.ts';
import { randomWord } from '../io/random.ts';
import { Fault } from '../protocol/faults.ts';
import { type Client, createClient } from './client.ts';
import type { Executor } from './executor.ts';
import { createExecutorDriver, type ExecutorDriver, type ExecutorDriverOptions } from './executor-driver.ts';
import { createSchedulerDriver, type SchedulerDriver } from './scheduler-driver.ts';
import type { SchedulerDriverOptions } from './scheduler-driver-options.ts';

/** A scheduler's connection is noticed to be broken after 1.5 times this: then another process may take its name. */
const KEEP_ALIVE_S = 10;

/** How to reach a cluster. */
export interface ConnectionOptions {
  /** One or more of `mqtt:// mqtts:// ws:// wss://`. Default: `MESQ_URL`, or `mqtt://127.0.0.1:1883`. */
  readonly url?: string | readonly string[];
  /** `name:secret`. Default: `MESQ_TOKEN`; without either, a name is enough on a loopback URL. */
  readonly token?: string;
  /** Who speaks: the framework's or the client's name. Default: the token's. */
  readonly name?: string;
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: string;
  /** Default `mesq`. */
  readonly prefix?: string;
  /** Default: warnings and errors on standard error. */
  readonly log?: Log;
}

export type ConnectSchedulerOptions = ConnectionOptions &
  Omit<SchedulerDriverOptions, keyof ConnectionOptions | 'bus' | 'urls' | 'clock' | 'random'>;

/**
 * A driver on a connection of its own, which ends with it: `await connectScheduler({ … }).run()`. Refused credentials
 * come as BAD_CREDENTIALS in {@link Scheduler.error}. While another process has the framework's name it waits, and takes
 * over when that one ends: a stand-by. Throws a BusError BAD_URL, or INSECURE where the token would travel in the clear,
 * and BAD_CREDENTIALS where there is neither a token nor a name.
 */
export function connectScheduler(options: ConnectSchedulerOptions): SchedulerDriver {
  const { scheduler, onEnded } = options;
  const { log = createLog({ level: 'warn' }), ...rest } = options;
  const { name, bus, urls } = openBus(options, log, '~', (error) => {
    if (error.code === 'NOT_ALLOWED')
      log.warn('scheduler-waits', { framework: name, message: 'another process has this name; waiting for it to end' });
    else if (driver.status === 'DRIVER_RUNNING') scheduler.error?.(driver, new Fault('BAD_CREDENTIALS', error.message));
  });
  const driver = createSchedulerDriver({
    ...rest,
    ...{ name, bus, urls, log, clock: systemClock, random: systemRandom },
    onEnded: async () => {
      await bus.close();
      await onEnded?.();
    },
  });
  return driver;
}

export interface ConnectedClient {
  readonly client: Client;
  close(): Promise<void>;
}

/** A client of the operator API, connected. Throws a BusError as {@link connectScheduler}, and UNREACHABLE after `timeoutMs` (default 10 s). */
export async function connectClient(
  options: ConnectionOptions & { readonly timeoutMs?: number } = {},
): Promise<ConnectedClient> {
  const { name, session, bus, urls } = openBus(options, options.log ?? createLog({ level: 'warn' }), '/');
  const { prefix = 'mesq', timeoutMs = 10_000 } = options;
  const client = createClient({ bus, urls, prefix, name, session, clock: systemClock, random: systemRandom });
  const close = async (): Promise<void> => {
    client.close();
    await bus.close();
  };
  try {
    await bus.ready(timeoutMs);
  } catch (error) {
    await close();
    throw error;
  }
  return { client, close };
}

/**
 * The driver of an executor that an agent has started, in its process: `await connectExecutor(executor).run()`
 * (docs/executors.md).
 */
export function connectExecutor(
  executor: Executor,
  options: Pick<ExecutorDriverOptions, 'log' | 'recoveryMs'> = {},
): ExecutorDriver {
  return createExecutorDriver({
    ...options,
    executor,
    environment: process.env,
    connect: connectLines,
    clock: systemClock,
    random: systemRandom,
  });
}

/** `mark` is what the client id has between name and session: peers connect as `name~session`, clients as `name/session`. */
function openBus(options: ConnectionOptions, log: Log, mark: '~' | '/', onRefused?: (error: BusError) => void) {
  const { url = fromEnvironment('MESQ_URL') ?? 'mqtt://127.0.0.1:1883', token = fromEnvironment('MESQ_TOKEN') } =
    options;
  const colon = token?.indexOf(':') ?? -1;
  const name = options.name ?? (colon > 0 ? token?.slice(0, colon) : undefined);
  if (name === undefined) throw new BusError('BAD_CREDENTIALS', 'a token (name:secret) or a name is needed');
  const session = randomWord(systemRandom, 8);
  const urls = typeof url === 'string' ? [url] : url;
  const bus = connectMqttBus({
    urls,
    clientId: `${name}${mark}${session}`,
    username: name,
    ...(token === undefined ? {} : { password: token.slice(colon + 1) }),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(mark === '~' ? { keepAliveS: KEEP_ALIVE_S } : {}),
    ...(onRefused === undefined ? {} : { onRefused }),
    clock: systemClock,
    random: systemRandom,
    log,
  });
  return { name, session, bus, urls };
}

/** What is set and not empty. */
function fromEnvironment(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}
