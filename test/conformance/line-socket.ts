import type { ExecutionContext } from 'ava';
import { LINE_LIMITS, type LineConnection, type LineListener } from '../../io/line-socket.ts';

/** One machine: processes that listen, one after the other, and processes that connect. */
export interface LineSocketHarness {
  /** The next process listens; the one before has died. */
  listen(): Promise<LineListener>;
  connect(listener: LineListener): Promise<LineConnection>;
  /** Lets things happen until it is so. */
  until(done: () => boolean): Promise<void>;
}

type Check = (t: ExecutionContext, harness: LineSocketHarness) => Promise<void>;

/** One side of a connection, with all that it heard. */
class Heard {
  readonly lines: string[] = [];
  closed = false;

  constructor(connection: LineConnection) {
    connection.onLine((line) => void this.lines.push(line));
    connection.onClosed(() => {
      this.closed = true;
    });
  }
}

async function pair(harness: LineSocketHarness): Promise<{ near: LineConnection; far: LineConnection }> {
  const listener = await harness.listen();
  const accepted: LineConnection[] = [];
  listener.onConnection((connection) => accepted.push(connection));
  const near = await harness.connect(listener);
  await harness.until(() => accepted.length === 1);
  const [far] = accepted;
  if (far === undefined) throw new Error('no connection');
  return { near, far };
}

/** What every {@link LineListener} and its connections promise. */
export const LINE_SOCKET_CHECKS: Readonly<Record<string, Check>> = {
  'lines arrive whole, in order, both ways': async (t, harness) => {
    const { near, far } = await pair(harness);
    const [left, right] = [new Heard(near), new Heard(far)];
    const long = 'ä'.repeat(LINE_LIMITS.lineBytes / 2 - 1);
    for (const line of ['one', '', long, '{"two":"\u2028"}']) near.send(line);
    far.send('back');
    await harness.until(() => right.lines.length === 4 && left.lines.length === 1);
    t.deepEqual(right.lines, ['one', '', long, '{"two":"\u2028"}']);
    t.deepEqual(left.lines, ['back']);
  },

  'what came before anybody listened is kept for the first listener': async (t, harness) => {
    const listener = await harness.listen();
    const near = await harness.connect(listener);
    near.send('early');
    const accepted: LineConnection[] = [];
    listener.onConnection((connection) => accepted.push(connection));
    await harness.until(() => accepted.length === 1);
    const heard = accepted.map((connection) => new Heard(connection))[0];
    await harness.until(() => heard?.lines.length === 1);
    t.deepEqual(heard?.lines, ['early']);
  },

  'the end of a connection is told on both sides, once, after what was sent': async (t, harness) => {
    const { near, far } = await pair(harness);
    const [left, right] = [new Heard(near), new Heard(far)];
    let ends = 0;
    far.onClosed(() => ends++);
    near.send('last');
    near.close();
    near.close();
    near.send('after the end');
    await harness.until(() => left.closed && right.closed);
    far.send('to nobody');
    t.deepEqual(right.lines, ['last']);
    far.onClosed(() => ends++);
    t.is(ends, 2);
  },

  'a line that is too long ends the connection, and no other': async (t, harness) => {
    const listener = await harness.listen();
    const accepted: Heard[] = [];
    listener.onConnection((connection) => accepted.push(new Heard(connection)));
    const [bad, good] = [await harness.connect(listener), await harness.connect(listener)];
    const told = new Heard(bad);
    bad.send('x'.repeat(LINE_LIMITS.lineBytes + 1));
    await harness.until(() => told.closed);
    good.send('still here');
    await harness.until(() => accepted.some(({ lines }) => lines.includes('still here')));
    t.is(accepted.filter(({ closed }) => closed).length, 1);
  },

  'lines wait for the promise with which the one before was answered, and none is lost': async (t, harness) => {
    const { near, far } = await pair(harness);
    const heard: string[] = [];
    const held: (() => void)[] = [];
    far.onLine((line) => {
      heard.push(line);
      return line.startsWith('wait') ? new Promise<void>((goOn) => held.push(goOn)) : undefined;
    });
    for (const line of ['one', 'wait 1', 'two', 'wait 2', 'x'.repeat(60_000), 'three']) near.send(line);
    await harness.until(() => held.length === 1);
    let back = false;
    near.onLine(() => {
      back = true;
    });
    far.send('the other way is open');
    await harness.until(() => back);
    t.deepEqual(heard, ['one', 'wait 1']);
    held[0]?.();
    await harness.until(() => held.length === 2);
    t.deepEqual(heard.slice(2), ['two', 'wait 2']);
    held[1]?.();
    await harness.until(() => heard.length === 6);
    t.deepEqual(heard.slice(5), ['three']);
  },

  'a peer that reads nothing is left': async (t, harness) => {
    const { far } = await pair(harness);
    let closed = false;
    far.onClosed(() => {
      closed = true;
    });
    const line = 'x'.repeat(60_000);
    for (let sent = 0; sent < 200; sent++) far.send(line);
    await harness.until(() => closed);
    t.true(closed);
  },

  'a process that listens after another takes its place; the end of one closes its connections': async (t, harness) => {
    const { near } = await pair(harness);
    const left = new Heard(near);
    const second = await harness.listen();
    await harness.until(() => left.closed);
    const accepted: Heard[] = [];
    second.onConnection((connection) => accepted.push(new Heard(connection)));
    const again = await harness.connect(second);
    again.send('hello');
    await harness.until(() => accepted[0]?.lines.length === 1);
    await second.close();
    const ended = new Heard(again);
    await harness.until(() => ended.closed);
    await t.throwsAsync(harness.connect(second));
  },
};
