import test from 'ava';
import { maySayUnexecuted, unexecutedWords } from '../../cli/unexecuted.ts';

const SAID = 'setpriv: failed to execute nosuch: No such file or directory\n';

test('a program that is not there, or cannot be executed, is told without the tool that was to start it', (t) => {
  for (const part of [SAID, 'setpriv: ', 'setpriv: failed to execute nosuch']) t.true(maySayUnexecuted(part));
  t.is(unexecutedWords(SAID, 127), 'there is no program nosuch\n');
  t.is(
    unexecutedWords(SAID.replace('\n', '\r\n'), 127),
    'there is no program nosuch\r\n',
    'a terminal has its own line ends',
  );
  const denied = 'setpriv: failed to execute /etc: Permission denied\n';
  t.is(unexecutedWords(denied, 126), '/etc cannot be executed: Permission denied\n');
});

test('what a program says itself is left as it is', (t) => {
  for (const text of ['', 'nosuch\n', `${SAID}more\n`, `x ${SAID}`, 's', 'setpriv: x']) {
    t.false(maySayUnexecuted(text), text);
    t.is(unexecutedWords(text, 127), text);
  }
  t.is(unexecutedWords(SAID, 0), SAID, 'it went on');
  t.is(unexecutedWords(SAID, 1), SAID);
});
