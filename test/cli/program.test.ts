import test from 'ava';
import { Fault } from '../../protocol/faults.ts';
import { BatchWorld } from '../frameworks/batch-world.ts';
import { ScriptedShell } from './scripted-terminal.ts';

function mesq(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new ScriptedShell(new BatchWorld(1)).mesq(...argv);
}

for (const [line, said] of [
  ['rnu -- true', "unknown command 'rnu'\n  Did you mean mesq run? See mesq help."],
  ['nope', "unknown command 'nope'\n  See mesq help."],
  ['help rnu', "unknown command 'rnu'\n  Did you mean mesq run?"],
  ['rnu --help', "unknown command 'rnu'"],
  ['--quiet agent stat', "unknown command 'stat' of mesq agent\n  Did you mean mesq agent stats?"],
  ['agent --quiet instal', "unknown command 'instal' of mesq agent\n  Did you mean mesq agent install?"],
  ['help agent stat', "unknown command 'stat' of mesq agent"],
  ['agent bogus --data x', "unknown command 'bogus' of mesq agent\n  See mesq agent --help."],
  ['agent --data x stats a1', 'stats stands behind options\n  Write mesq agent stats first, and its options behind.'],
  ['agent --dta x', "unknown option '--dta'\n  Did you mean --data?"],
  ['agent', '--data <dir> is missing: its data folder, of its own\n  Write it like mesq agent --master'],
  ['kill', '<task> is missing\n  Write it like mesq kill k3v9x2ab.4'],
  ['agent stats', '<agent> is missing\n  Write it like mesq agent stats pi-3'],
  ['events now', 'mesq events takes no word, and got 1\n  See mesq events --help.'],
  ['ps a b c', 'mesq ps takes at most 1, and got 3'],
  ['token create', '--role and --name missing\n  Write mesq token create --role ROLE --name NAME.'],
  ['token create --role agent', '--name missing'],
  ['token create pi-1 --role agent', 'mesq token create takes options alone, and not pi-1'],
  ['drain a1 --for 0s', '--for 0s is no time at all\n  Write it like --for 30m, or leave it out.'],
  ['token create --role agent --name a/b', '--name "a/b" has a character at 2 that is not allowed\n  Write it with'],
  ['token create --role join --name roof --for 0', '--for 0 is no time at all\n  Write it like --for 24h.'],
  ['token create --role join --name roof --for soon', '--for: '],
  ['jobs --timeout banana', '--timeout: in "banana", character 1: '],
  ['jobs --token foo', 'the token is not NAME:SECRET\n  Pass all of what mesq token create printed'],
  ['jobs --prefix a/b', '--prefix: "a/b" is not the first level of a topic'],
  ['agents --urll x', "unknown option '--urll'\n  Did you mean --url?"],
  ['--urll x agents', "unknown option '--urll'\n  Did you mean --url?"],
] as const) {
  test(`a slip in a command is told, and what was meant: ${line}`, async (t) => {
    const { code, stdout, stderr } = await mesq(...line.split(' '));
    t.is(code, 2);
    t.is(stdout, '');
    t.true(stderr.startsWith(`error: ${said}`), stderr);
  });
}

test("where no leader is heard under a prefix of somebody's own, the prefix is asked after", async (t) => {
  const hints = async (fault: Fault, ...argv: string[]): Promise<boolean> => {
    const shell = new ScriptedShell(new BatchWorld(1));
    shell.connectFault = fault;
    const { code, stderr } = await shell.mesq(...argv, 'jobs');
    t.is(code, 6);
    t.true(stderr.includes(fault.hint), stderr);
    return stderr.includes('Is roof the --prefix (MESQ_PREFIX) that the masters were started with?');
  };
  t.true(await hints(new Fault('NO_LEADER'), '--prefix', 'roof'));
  t.false(await hints(new Fault('NO_LEADER')));
  t.false(await hints(new Fault('UNREACHABLE'), '--prefix', 'roof'));
});

test('a slip is told as JSON where that is asked for, wherever', async (t) => {
  for (const argv of [
    ['--json', 'rnu'],
    ['rnu', '--json'],
    ['agent', '--json', 'stat'],
  ]) {
    const { code, stderr } = await mesq(...argv);
    t.is(code, 2);
    t.is((JSON.parse(stderr) as { error: { code: string } }).error.code, 'BAD_USAGE');
  }
});

test('help is the same whichever way it is asked for, of what is below a verb too', async (t) => {
  for (const [words, usage] of [
    [['run'], 'Usage: mesq run [options] -- COMMAND'],
    [['agent'], 'Usage: mesq agent [options] [command]'],
    [['agent', 'stats'], 'Usage: mesq agent stats [options] <agent>'],
    [[], 'Usage: mesq [options] [command]'],
  ] as const) {
    const asked = await mesq('help', ...words);
    t.is(asked.code, 0);
    t.true(asked.stdout.includes(usage), asked.stdout);
    t.is((await mesq(...words, '--help')).stdout, asked.stdout);
    if (words.length > 0) t.true(asked.stdout.startsWith(`  `), 'examples come first');
  }
});

test('options of every verb may stand before what is below one', async (t) => {
  const { code, stderr } = await mesq('agent', '--timeout', '1s', 'stats', 'nosuch');
  t.not(code, 2, stderr);
});

test('what connecting took is not there any more for the answer: --timeout is the longest wait of all', async (t) => {
  const shell = new ScriptedShell(new BatchWorld(1));
  shell.connectMs = 6_000;
  shell.world.driver.stop();
  for (const argv of [['jobs'], ['run', '--detach', '--', 'true'], ['wait', 'jjjjjjj1']]) {
    const begunMs = shell.world.clock.monotonic();
    const { code } = await shell.mesq(...argv, '--timeout', '10s');
    t.not(code, 0);
    t.true(shell.world.clock.monotonic() - begunMs < 10_100, argv.join(' '));
  }
});
