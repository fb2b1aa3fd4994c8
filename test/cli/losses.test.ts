import test from 'ava';
import { tellLosses } from '../../cli/losses.ts';
import { VirtualClock } from '../sim/clock.ts';

function link() {
  const clock = new VirtualClock();
  const told: string[] = [];
  const listeners = { lost: () => {}, back: () => {} };
  const bus = {
    onDisconnected: (listener: (reason: string) => void) => {
      listeners.lost = () => listener('gone');
    },
    onConnected: (listener: () => void) => {
      listeners.back = listener;
    },
  };
  const forget = tellLosses(clock, bus, (event) => told.push(event));
  return { clock, told, listeners, forget };
}

test('a loss that lasts is told once, and its end; a short one is nobody’s concern', async (t) => {
  const { clock, told, listeners } = link();
  listeners.lost();
  await clock.advance(1_000);
  listeners.back();
  await clock.advance(10_000);
  t.deepEqual(told, []);
  listeners.lost();
  listeners.lost();
  await clock.advance(10_000);
  t.deepEqual(told, ['lost']);
  listeners.back();
  listeners.back();
  t.deepEqual(told, ['lost', 'back']);
});

test('whoever has left is told nothing', async (t) => {
  const { clock, told, listeners, forget } = link();
  listeners.lost();
  forget();
  await clock.advance(10_000);
  listeners.back();
  listeners.lost();
  await clock.advance(10_000);
  t.deepEqual(told, []);
});
