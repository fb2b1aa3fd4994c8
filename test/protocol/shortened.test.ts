import test from 'ava';
import fc from 'fast-check';
import { shortened } from '../../protocol/shortened.ts';

test('what is too long ends behind a word, and says that there was more', (t) => {
  t.is(shortened('as it is', 8), 'as it is');
  t.is(shortened('there is no volume of that name', 20), 'there is no volume…');
  t.is(shortened('there is no volume', 17), 'there is no…');
  t.is(shortened('x'.repeat(600), 500), `${'x'.repeat(499)}…`, 'one word');
  t.is(shortened('ab😀', 3), 'ab…', 'no half of a character');
});

test('it is never longer than asked, and begins as it did', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), fc.nat(60), (text, most) => {
      const cut = shortened(text, most);
      t.true(cut.length <= most || cut === text);
      t.true(text.startsWith(cut.replace(/…$/, '')));
    }),
  );
});
