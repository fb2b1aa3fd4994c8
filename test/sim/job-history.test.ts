import test from 'ava';
import { JobHistory } from './job-history.ts';

test('a read that has what was acknowledged before, and nothing from the future, is good', (t) => {
  const history = new JobHistory();
  const [a, b] = [history.submitted('a'), history.submitted('b')];
  history.acknowledged(a);
  const read = history.readBegun();
  history.readEnded(read, ['a', 'b']);
  history.acknowledged(b);
  t.deepEqual(history.violations(), []);
});

test('an acknowledged job that a later read lacks is a violation', (t) => {
  const history = new JobHistory();
  history.acknowledged(history.submitted('a'));
  history.readEnded(history.readBegun(), []);
  t.is(history.violations().length, 1);
});

test('so is one that was seen before, acknowledged or not', (t) => {
  const history = new JobHistory();
  history.submitted('a');
  history.readEnded(history.readBegun(), ['a']);
  history.readEnded(history.readBegun(), []);
  t.is(history.violations().length, 1);
});

test('so is one that is seen before it was submitted', (t) => {
  const history = new JobHistory();
  history.readEnded(history.readBegun(), ['a']);
  history.submitted('a');
  t.is(history.violations().length, 1);
});

test('of many, the oldest may be forgotten', (t) => {
  const history = new JobHistory(2);
  for (const id of ['a', 'b', 'c']) history.acknowledged(history.submitted(id));
  history.readEnded(history.readBegun(), ['b', 'c']);
  t.deepEqual(history.violations(), []);
  history.readEnded(history.readBegun(), ['c']);
  t.is(history.violations().length, 1);
});
