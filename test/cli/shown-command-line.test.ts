import test from 'ava';
import { shownCommandLine } from '../../cli/shown-command-line.ts';

test('a command line with a token is shown without it, any other is left as it is', (t) => {
  t.is(shownCommandLine(['node', 'mesq', 'agent', '--master', 'mqtts://m1']), undefined);
  t.is(shownCommandLine(['node', 'mesq', '--token', 'pi:hunter2', 'agent']), 'node mesq --token *** agent');
  t.is(shownCommandLine(['mesq', 'agent', '--token=pi:hunter2', '--name', 'pi']), 'mesq agent --token=*** --name pi');
  t.is(shownCommandLine(['mesq', '--token']), 'mesq --token');
});
