import type { ExecutionContext } from 'ava';
import { type Bus, BusError, type BusMessage, MAX_PAYLOAD_BYTES, type Will } from '../../io/bus.ts';

/** One broker and the ways to reach it. Client ids and topics are unique to a check, so that checks may share it. */
export interface BusHarness {
  /** Resolves once connected. */
  connect(clientId: string, will?: () => Will | undefined): Promise<Bus>;
  /** Breaks the connection of `clientId` without a word; it may connect again at once. */
  cut(clientId: string): void;
  /** Breaks it, and lets it not connect again until {@link BusHarness.online}. */
  offline(clientId: string): void;
  online(clientId: string): void;
}

type Check = (t: ExecutionContext, harness: BusHarness, root: string) => Promise<void>;

/** Collects what a subscription gets. */
class Inbox {
  readonly messages: BusMessage[] = [];
  /** As text, each once, in order of first arrival: QoS 1 may bring a message twice. */
  readonly seen = new Set<string>();
  private changed: () => void = () => {};

  readonly handler = (message: BusMessage): void => {
    this.messages.push(message);
    this.seen.add(text(message.payload));
    this.changed();
  };

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
    }
  }

  /** Waits for `count` different messages and gives back all that were seen. */
  async distinct(count: number): Promise<string[]> {
    await this.until(() => this.seen.size >= count);
    return [...this.seen];
  }

  texts(): string[] {
    return this.messages.map((message) => text(message.payload));
  }
}

const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

/** Waits until what was sent before has had its time: three trips of a message to the broker and back. */
async function fence(bus: Bus, root: string): Promise<void> {
  const inbox = new Inbox();
  const stop = await bus.subscribe(`${root}/fence`, 1, inbox.handler);
  for (const trip of ['1', '2', '3']) {
    await bus.publish(`${root}/fence`, bytes(trip), { qos: 1 });
    await inbox.until(() => inbox.seen.has(trip));
  }
  stop();
}

/** A promise of the next time that the bus says `connected`. Not for one that is connected. */
const nextConnection = (bus: Bus): Promise<void> => new Promise((resolve) => bus.onConnected(resolve));

async function codeOf(outcome: Promise<unknown>): Promise<string | undefined> {
  const error = await outcome.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof BusError ? error.code : undefined;
}

/** What every bus promises, whoever carries it: title and check. */
export const BUS_CHECKS: Readonly<Record<string, Check>> = {
  'messages arrive at QoS 0 and 1, bytes intact': async (t, harness, root) => {
    const [sender, receiver] = [await harness.connect(`${root}-s`), await harness.connect(`${root}-r`)];
    const inbox = new Inbox();
    await receiver.subscribe(`${root}/a`, 1, inbox.handler);
    const every = Uint8Array.from({ length: 256 }, (_, index) => index);
    await sender.publish(`${root}/a`, every);
    await sender.publish(`${root}/a`, every.toReversed(), { qos: 1 });
    await sender.publish(`${root}/a`, new Uint8Array(), { qos: 1 });
    await inbox.until(() => inbox.messages.some((message) => message.payload.length === 0));
    t.deepEqual([...(inbox.messages[0]?.payload ?? [])], [...every]);
    t.deepEqual([...(inbox.messages[1]?.payload ?? [])], [...every.toReversed()]);
    t.true(inbox.messages.every((message) => message.topic === `${root}/a` && !message.retained));
  },

  'wildcards match as MQTT says': async (t, harness, root) => {
    const bus = await harness.connect(`${root}-c`);
    const boxes = new Map<string, Inbox>();
    for (const filter of [`${root}/+/x`, `${root}/a/#`, `${root}/+`, `${root}/a/x`]) {
      const inbox = new Inbox();
      boxes.set(filter, inbox);
      await bus.subscribe(filter, 1, inbox.handler);
    }
    for (const topic of ['a', 'a/x', 'a/x/y', 'b/x', 'b/y', 'b']) {
      await bus.publish(`${root}/${topic}`, bytes(topic), { qos: 1 });
    }
    await fence(bus, root);
    const got = [...boxes.values()].map((inbox) =>
      [...new Set(inbox.texts())].filter((each) => each.length < 6 && !/\d/.test(each)).sort(),
    );
    t.deepEqual(got, [['a/x', 'b/x'], ['a', 'a/x', 'a/x/y'], ['a', 'b'], ['a/x']]);
  },

  'every subscriber gets a message, and every handler once where filters overlap': async (t, harness, root) => {
    const [one, two] = [await harness.connect(`${root}-1`), await harness.connect(`${root}-2`)];
    const boxes = [new Inbox(), new Inbox(), new Inbox(), new Inbox()] as const;
    await one.subscribe(`${root}/a`, 0, boxes[0].handler);
    await one.subscribe(`${root}/a`, 0, boxes[1].handler);
    await one.subscribe(`${root}/+`, 0, boxes[2].handler);
    await two.subscribe(`${root}/a`, 0, boxes[3].handler);
    await two.publish(`${root}/a`, bytes('hello'));
    for (const inbox of boxes) await inbox.distinct(1);
    await fence(one, root);
    t.deepEqual(
      boxes.map((inbox) => inbox.texts().filter((each) => each === 'hello')),
      [['hello'], ['hello'], ['hello'], ['hello']],
    );
  },

  'retained messages are kept, replaced and cleared, and only then flagged': async (t, harness, root) => {
    const [bus, late] = [await harness.connect(`${root}-b`), await harness.connect(`${root}-l`)];
    const [live, first, second, none] = [new Inbox(), new Inbox(), new Inbox(), new Inbox()];
    const topic = `${root}/state`;
    await bus.subscribe(topic, 1, live.handler);
    await bus.publish(topic, bytes('old'), { qos: 1, retain: true });
    await bus.publish(topic, bytes('new'), { qos: 1, retain: true });
    t.deepEqual(await live.distinct(2), ['old', 'new']);
    t.true(live.messages.every((message) => !message.retained));
    const stops = [await late.subscribe(topic, 1, first.handler)];
    t.deepEqual(await first.distinct(1), ['new']);
    t.true(first.messages[0]?.retained);
    // A second handler of a filter that is subscribed to already has a right to it as well.
    stops.push(await late.subscribe(topic, 1, second.handler));
    t.deepEqual(await second.distinct(1), ['new']);
    for (const stop of stops) stop();
    await fence(late, root);
    await bus.publish(topic, new Uint8Array(), { qos: 1, retain: true });
    await live.until(() => live.messages.some((message) => message.payload.length === 0));
    await late.subscribe(topic, 1, none.handler);
    await fence(late, root);
    t.deepEqual(none.texts(), []);
  },

  'messages of one topic stay in order': async (t, harness, root) => {
    const [sender, receiver] = [await harness.connect(`${root}-s`), await harness.connect(`${root}-r`)];
    const expected = Array.from({ length: 300 }, (_, index) => String(index));
    for (const qos of [0, 1] as const) {
      const inbox = new Inbox();
      await receiver.subscribe(`${root}/${qos}`, qos, inbox.handler);
      await Promise.all(expected.map((each) => sender.publish(`${root}/${qos}`, bytes(each), { qos })));
      t.deepEqual(await inbox.distinct(300), expected);
    }
  },

  'five thousand messages at QoS 1 all arrive': async (t, harness, root) => {
    const [sender, receiver] = [await harness.connect(`${root}-s`), await harness.connect(`${root}-r`)];
    const inbox = new Inbox();
    await receiver.subscribe(`${root}/many/#`, 1, inbox.handler);
    const expected = Array.from({ length: 5_000 }, (_, index) => String(index));
    // In batches, as any sender that waits for its acknowledgements: a broker may drop what floods a subscriber.
    for (let start = 0; start < expected.length; start += 500) {
      const batch = expected.slice(start, start + 500);
      await Promise.all(batch.map((each) => sender.publish(`${root}/many/${each.at(-1)}`, bytes(each), { qos: 1 })));
      await inbox.distinct(start + 500);
    }
    t.deepEqual([...inbox.seen].sort(), expected.sort());
  },

  'a payload at the limit arrives; one byte more is refused before it is sent': async (t, harness, root) => {
    const bus = await harness.connect(`${root}-c`);
    const inbox = new Inbox();
    await bus.subscribe(`${root}/a`, 1, inbox.handler);
    t.is(await codeOf(bus.publish(`${root}/a`, new Uint8Array(MAX_PAYLOAD_BYTES + 1), { qos: 1 })), 'TOO_LARGE');
    await bus.publish(`${root}/a`, new Uint8Array(MAX_PAYLOAD_BYTES).fill(7), { qos: 1 });
    await inbox.until(() => inbox.messages.length > 0);
    t.is(inbox.messages[0]?.payload.length, MAX_PAYLOAD_BYTES);
    t.true(inbox.messages[0]?.payload.every((byte) => byte === 7));
  },

  'what is unsubscribed stays away, and nothing else': async (t, harness, root) => {
    const bus = await harness.connect(`${root}-c`);
    const [gone, kept] = [new Inbox(), new Inbox()];
    const stop = await bus.subscribe(`${root}/a`, 1, gone.handler);
    const stopKept = await bus.subscribe(`${root}/a`, 1, kept.handler);
    stop();
    stop();
    await bus.publish(`${root}/a`, bytes('one'), { qos: 1 });
    t.deepEqual(await kept.distinct(1), ['one']);
    stopKept();
    await bus.publish(`${root}/a`, bytes('two'), { qos: 1 });
    await fence(bus, root);
    t.deepEqual([...kept.seen], ['one']);
    t.deepEqual(gone.texts(), []);
    // Taken up again, it works again.
    await bus.subscribe(`${root}/a`, 1, kept.handler);
    await bus.publish(`${root}/a`, bytes('three'), { qos: 1 });
    t.deepEqual(await kept.distinct(2), ['one', 'three']);
  },

  'the will of each connection is sent when it breaks, and not after a polite end': async (t, harness, root) => {
    const observer = await harness.connect(`${root}-o`);
    const inbox = new Inbox();
    await observer.subscribe(`${root}/will`, 1, inbox.handler);
    let connections = 0;
    const bus = await harness.connect(`${root}-c`, () => {
      connections++;
      return { topic: `${root}/will`, payload: bytes(`will ${connections}`), qos: 1 };
    });
    harness.offline(`${root}-c`);
    t.deepEqual(await inbox.distinct(1), ['will 1']);
    const again = nextConnectionAfterLoss(bus);
    harness.online(`${root}-c`);
    await again;
    const latest = connections;
    await bus.close();
    await observer.publish(`${root}/will`, bytes('after'), { qos: 1 });
    await inbox.until(() => inbox.seen.has('after'));
    await fence(observer, root);
    t.false(inbox.seen.has(`will ${latest}`));
    t.true(latest > 1);
  },

  'a retained will is kept for who comes later': async (t, harness, root) => {
    const [observer, late] = [await harness.connect(`${root}-o`), await harness.connect(`${root}-l`)];
    const [inbox, lateBox] = [new Inbox(), new Inbox()];
    await observer.subscribe(`${root}/will`, 1, inbox.handler);
    await harness.connect(`${root}-c`, () => ({ topic: `${root}/will`, payload: bytes('gone'), qos: 1, retain: true }));
    harness.offline(`${root}-c`);
    await inbox.distinct(1);
    await late.subscribe(`${root}/will`, 1, lateBox.handler);
    t.deepEqual(await lateBox.distinct(1), ['gone']);
    t.true(lateBox.messages[0]?.retained);
    harness.online(`${root}-c`);
  },

  'after a reconnect all subscriptions stand before it says connected': async (t, harness, root) => {
    const bus = await harness.connect(`${root}-c`);
    const inbox = new Inbox();
    const lost: string[] = [];
    let connections = 0;
    bus.onDisconnected((reason) => lost.push(reason));
    await bus.subscribe(`${root}/a`, 0, inbox.handler);
    await bus.subscribe(`${root}/b/+`, 1, inbox.handler);
    bus.onConnected(() => {
      connections++;
      // QoS 0, so that only a subscription that stands already can bring it.
      void bus.publish(`${root}/a`, bytes(`a${connections}`));
      void bus.publish(`${root}/b/c`, bytes(`b${connections}`));
    });
    await inbox.distinct(2);
    for (const round of [2, 3]) {
      harness.cut(`${root}-c`);
      await inbox.until(() => inbox.seen.has(`a${round}`) && inbox.seen.has(`b${round}`));
    }
    t.is(lost.length, 2);
    t.true(lost.every((reason) => reason.length > 0));
  },

  'offline nothing is queued: a publish rejects, a subscription is made up for': async (t, harness, root) => {
    const [bus, other] = [await harness.connect(`${root}-c`), await harness.connect(`${root}-o`)];
    const inbox = new Inbox();
    const lost = new Promise<string>((resolve) => bus.onDisconnected(resolve));
    harness.offline(`${root}-c`);
    await lost;
    t.false(bus.connected);
    t.is(await codeOf(bus.publish(`${root}/a`, bytes('early'))), 'DISCONNECTED');
    t.is(await codeOf(bus.publish(`${root}/a`, bytes('early'), { qos: 1 })), 'DISCONNECTED');
    await bus.subscribe(`${root}/a`, 1, inbox.handler);
    const back = nextConnection(bus);
    harness.online(`${root}-c`);
    await back;
    t.true(bus.connected);
    await other.publish(`${root}/a`, bytes('late'), { qos: 1 });
    t.deepEqual(await inbox.distinct(1), ['late']);
  },

  'a publish in flight settles when the connection breaks': async (t, harness, root) => {
    const bus = await harness.connect(`${root}-c`);
    const outcomes = Array.from({ length: 50 }, () => bus.publish(`${root}/a`, new Uint8Array(1_000), { qos: 1 }));
    harness.offline(`${root}-c`);
    const codes = await Promise.all(outcomes.map(codeOf));
    t.true(codes.every((code) => code === undefined || code === 'DISCONNECTED'));
    t.is(codes.at(-1), 'DISCONNECTED');
    harness.online(`${root}-c`);
  },

  'after close nothing works, and nobody is told of a loss': async (t, harness, root) => {
    const bus = await harness.connect(`${root}-c`);
    bus.onDisconnected(() => t.fail());
    await bus.close();
    await bus.close();
    t.false(bus.connected);
    t.is(await codeOf(bus.publish(`${root}/a`, bytes('x'))), 'CLOSED');
    t.is(await codeOf(bus.subscribe(`${root}/a`, 0, () => {})), 'CLOSED');
  },
};

/** The next `connected` of a bus that is connected, or was a moment ago. */
function nextConnectionAfterLoss(bus: Bus): Promise<void> {
  if (!bus.connected) return nextConnection(bus);
  return new Promise((resolve) => bus.onDisconnected(() => resolve(nextConnection(bus))));
}
