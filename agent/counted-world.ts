import type { ArtifactSource } from '../io/artifact-source.ts';
import type { BusMessage, MovableBus, PublishOptions, QoS } from '../io/bus.ts';
import type { Launcher } from '../io/launcher.ts';
import type { RandomAccessFile, Storage } from '../io/storage.ts';
import type { Accounts, Carried } from './accounts/accounts.ts';

/** The bus as it is, and every message on it counted. */
export function countedBus(bus: MovableBus, accounts: Accounts): MovableBus {
  bus.onConnected(() => accounts.connected());
  return {
    get connected() {
      return bus.connected;
    },
    get url() {
      return bus.url;
    },
    publish: (topic: string, payload: Uint8Array, options?: PublishOptions) => {
      if (bus.connected) accounts.carried(kindOf(topic), payload.length, topic.length, options?.qos ?? 0);
      return bus.publish(topic, payload, options);
    },
    subscribe: (filter: string, qos: QoS, handler: (message: BusMessage) => void) =>
      bus.subscribe(filter, qos, (message) => {
        accounts.carried('controlDown', message.payload.length, message.topic.length);
        handler(message);
      }),
    onConnected: (listener) => bus.onConnected(listener),
    onDisconnected: (listener) => bus.onDisconnected(listener),
    close: () => bus.close(),
    setUrls: (urls) => bus.setUrls(urls),
    moveTo: (url) => bus.moveTo(url),
    worked: () => bus.worked(),
    get keepAlives() {
      return bus.keepAlives ?? 0;
    },
    ...(bus.pulse === undefined ? {} : { pulse: bus.pulse }),
  };
}

function kindOf(topic: string): Carried {
  return topic.endsWith('/bulk') ? 'bulk' : topic.endsWith('/presence') ? 'presence' : 'controlUp';
}

/** A source as it is, and what comes from it counted: nothing of it crosses the bus. */
export function countedSource(source: ArtifactSource, accounts: Accounts): ArtifactSource {
  return {
    takes: (uri) => source.takes(uri),
    read: async (...asked) => {
      const reading = await source.read(...asked);
      return { ...reading, bytes: counted(reading.bytes, (bytes) => accounts.fetched(bytes)) };
    },
  };
}

/** No generator: one that was never begun would not end what it reads from. */
function counted(pieces: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = pieces[Symbol.asyncIterator]();
      return {
        next: async () => {
          const result = await inner.next();
          if (result.done !== true) count(result.value.length);
          return result;
        },
        return: async () => (await inner.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}

/** The data folder as it is, and every write to it counted. */
export function countedStorage(storage: Storage, accounts: Accounts, journal: string): Storage {
  const count = (path: string, bytes: Uint8Array): void =>
    accounts.wrote(path.startsWith(`${journal}/`) ? 'journal' : 'other', bytes.length);
  return {
    read: (path) => storage.read(path),
    replace: (path, bytes) => {
      count(path, bytes);
      return storage.replace(path, bytes);
    },
    rename: (from, to) => storage.rename(from, to),
    list: (folder) => storage.list(folder),
    remove: (path) => storage.remove(path),
    open: async (path) => countedFile(await storage.open(path), (bytes) => count(path, bytes)),
    crc32: (bytes, seed) => storage.crc32(bytes, seed),
  };
}

function countedFile(file: RandomAccessFile, count: (bytes: Uint8Array) => void): RandomAccessFile {
  return {
    size: () => file.size(),
    read: (position, length) => file.read(position, length),
    write: (position, bytes) => {
      count(bytes);
      return file.write(position, bytes);
    },
    writeDurably: (position, bytes) => {
      count(bytes);
      return file.writeDurably(position, bytes);
    },
    sync: () => file.sync(),
    truncate: (size) => file.truncate(size),
    close: () => file.close(),
  };
}

/** Counts what a launcher starts: a start's folder is `<run>/<restart>`, and the first restart is 0. */
export function countStarts(launcher: Launcher, accounts: Accounts): void {
  launcher.onStarted(({ folder }) => accounts.started(!folder.endsWith('/0')));
}
