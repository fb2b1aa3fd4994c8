import test from 'ava';
import { ShownThings } from '../../master/shown-things.ts';
import { LIMITS } from '../../protocol/limits.ts';

/** A tree that is written at once, and what was counted. */
function shownThings() {
  const state = new Map<string, object>();
  const counted: string[] = [];
  const touch = (rest: string, view: () => object | null): void => {
    const now = view();
    if (now === null) state.delete(rest);
    else state.set(rest, now);
  };
  const things = new ShownThings({ touch }, { count: (reason) => counted.push(reason) });
  const show = (
    framework: string,
    id: string,
    view: Record<string, unknown> | null,
    progress?: Record<string, number>,
  ) => things.show(framework, [{ kind: 'jobs', id, view, ...(progress === undefined ? {} : { progress }) }]);
  return { state, counted, things, show };
}

const LARGE = { text: 'x'.repeat(19_500) };

test('a framework that clears nothing keeps what it has shown last, and takes nothing of others', (t) => {
  const { state, counted, show } = shownThings();
  show('other', 'j', { is: 'there' });
  for (let at = 0; at < 400; at++) show('fw', `j${at}`, LARGE, { done: at });
  const own = [...state.keys()].filter((rest) => /^jobs\/fw\/j\d+$/.test(rest));
  const bytes = own.length * JSON.stringify(LARGE).length;
  t.true(bytes <= LIMITS.shownBytes && bytes > LIMITS.shownBytes * 0.9, `${own.length} things`);
  t.deepEqual([own[0], own.at(-1)], [`jobs/fw/j${400 - own.length}`, 'jobs/fw/j399']);
  t.is([...state.keys()].filter((rest) => rest.endsWith('/progress')).length, own.length);
  t.true(state.has('jobs/other/j'));
  t.is(counted.filter((reason) => reason === 'shown things over their room').length, 400 - own.length);
});

test('what is shown again counts once, and what is cleared no more; small things have a number, too', (t) => {
  const { state, counted, show } = shownThings();
  for (let at = 0; at < 1_000; at++) show('fw', 'same', LARGE);
  for (let at = 0; at < 1_000; at++) {
    show('fw', `j${at}`, LARGE);
    show('fw', `j${at}`, null);
  }
  t.deepEqual([...state.keys()], ['jobs/fw/same']);
  t.deepEqual(counted, []);
  for (let at = 0; at < 10_000; at++) show('fw', `t${at}`, {});
  t.true(state.size < 5_000);
});

test('the built-in framework shows all its jobs', (t) => {
  const { state, counted, show } = shownThings();
  for (let at = 0; at < 400; at++) show('batch', `j${at}`, LARGE);
  t.is(state.size, 400);
  t.deepEqual(counted, []);
});

test('what a framework has shown goes with it, whatever it says afterwards comes back', (t) => {
  const { state, things, show } = shownThings();
  show('fw', 'a', { one: 1 }, { done: 1 });
  show('other', 'a', { one: 1 });
  things.removed('fw');
  t.deepEqual([...state.keys()], ['jobs/other/a']);
  show('fw', 'b', { two: 2 });
  t.true(state.has('jobs/fw/b'));
});

test('progress is for a few numbers: more are left out, and counted', (t) => {
  const { state, counted, show } = shownThings();
  show('fw', 'a', {}, { pending: 10_000, running: 10_000, finished: 10_000, failed: 10_000, killed: 10_000 });
  t.true(state.has('jobs/fw/a/progress'));
  show('fw', 'a', {}, Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`number-${at}`, at])));
  t.false(state.has('jobs/fw/a/progress'));
  t.deepEqual(counted, ['progress over its limit']);
});
