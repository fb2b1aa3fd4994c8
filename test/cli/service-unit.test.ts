import test from 'ava';
import { SERVICE_VARIABLE } from '../../cli/service-patience.ts';
import { droppedOptions, knowsSubgroups, serviceUnit, unitWord } from '../../cli/service-unit.ts';
import { refuseSkew } from '../../cli/version-skew.ts';
import { FAULTS } from '../../protocol/faults.ts';

test('a word of a unit is what the program gets, whatever is in it', (t) => {
  t.is(unitWord('mqtts://m1:8883,mqtts://m2:8883'), 'mqtts://m1:8883,mqtts://m2:8883');
  t.is(unitWord('cpus:2;mem:64'), '"cpus:2;mem:64"', 'a ; of its own would begin another command');
  t.is(unitWord('site:the roof'), '"site:the roof"');
  t.is(unitWord('load:5%'), 'load:5%%');
  t.is(unitWord('a$HOME'), 'a$$HOME');
  t.is(unitWord('say "no" \\ yes'), '"say \\"no\\" \\\\ yes"');
  t.is(unitWord('two\nlines'), '"two\\nlines"');
  t.is(unitWord(''), '""');
});

test('what is not asked for does not stand in the unit, and every line of it is one setting', (t) => {
  const unit = serviceUnit({
    program: ['/bin/mesq'],
    masters: ['mqtt://a', 'mqtt://b'],
    data: '/d\nExecStartPre=/bin/x',
  });
  t.true(unit.includes('ExecStart=/bin/mesq agent --master mqtt://a,mqtt://b --data "/d\\nExecStartPre=/bin/x"\n'));
  for (const line of unit.split('\n')) t.regex(line, /^($|#|\[\w+\]$|[A-Z][A-Za-z]+=.)/, line);
});

test('the agent has a group beside its tasks where systemd can give it one, and no line that an older one complains of', (t) => {
  const settings = { program: ['/bin/mesq'], masters: ['mqtt://a'], data: '/d' };
  t.true(serviceUnit({ ...settings, subgroup: true }).includes('\nDelegate=yes\nDelegateSubgroup=agent\n'));
  t.false(serviceUnit(settings).includes('DelegateSubgroup'));
  t.true(knowsSubgroups('systemd 257 (257.8-1~deb13u2)\n+PAM +AUDIT\n'));
  t.true(knowsSubgroups('systemd 254'));
  t.false(knowsSubgroups('systemd 252 (252.38-1~deb12u1)\n'));
  t.false(knowsSubgroups(''));
});

test('systemd starts no agent again that was declared gone, or whose command line nobody understands', (t) => {
  const unit = serviceUnit({ program: ['/bin/mesq'], masters: ['mqtt://a'], data: '/d' });
  const codes = [FAULTS.BAD_USAGE.exit, FAULTS.GONE.exit].join(' ');
  t.true(unit.includes(`\nRestartPreventExitStatus=${codes}\n`));
  t.true(unit.includes(`\nEnvironment=${SERVICE_VARIABLE}=yes\n`));
});

test('versions are gone through one by one, up and down', (t) => {
  for (const [from, to] of [
    ['0.1.0', '0.1.7'],
    ['0.1.0', '0.2.0'],
    ['0.2.3', '0.1.0'],
    ['0.9.4', '1.0.0'],
    ['1.0.1', '0.9.0'],
    ['1.2.0-rc.1', '1.3.0'],
  ] as const)
    t.is(refuseSkew(from, to), undefined, `${from} → ${to}`);
  for (const [from, to] of [
    ['0.1.0', '0.3.0'],
    ['0.3.0', '0.1.9'],
    ['0.9.0', '1.1.0'],
    ['1.1.0', '0.9.0'],
    ['0.1.0', '2.0.0'],
    ['0.1.0', 'new'],
  ] as const)
    t.not(refuseSkew(from, to), undefined, `${from} → ${to}`);
});

test('an option that the next unit has not is dropped; another value is, where nobody said it', (t) => {
  const settings = { program: ['/bin/mesq'], masters: ['mqtts://a'], data: '/d' };
  const before = serviceUnit({ ...settings, name: '--metered', attributes: 'a:"5%";b:\\$3\t', metered: true });
  const after = serviceUnit({ ...settings, masters: ['mqtts://b'] });
  const dropped = ['--name --metered', '--attributes a:"5%";b:\\$3\t', '--metered'];
  t.deepEqual(droppedOptions(before, after, []), dropped);
  t.deepEqual(droppedOptions(before, after, ['--master', '--data']), ['--master mqtts://a', ...dropped]);
  t.deepEqual(droppedOptions(after, before, []), []);
  t.deepEqual(droppedOptions('', after, ['--master']), []);
});
