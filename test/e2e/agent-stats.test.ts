import test from 'ava';
import { Cluster } from './cluster.ts';

test('an agent is asked from afar what it has counted; when its budget is spent, only an operator who says so reads on', async (t) => {
  const cluster = await Cluster.start(t, { a1: { more: ['--bulk-budget', '64K'] } });
  const job = await cluster.submit('--', 'sh', '-c', 'head -c 200000 /dev/urandom | base64 -w0 | head -c 250000');
  t.is(await cluster.end(job), 'TASK_FINISHED');
  const held = await cluster.mesq('logs', job);
  t.is(held.code, 4, held.stderr);
  t.regex(held.stderr, /agent a1 has spent its 6\d\.\d kB a day for logs and files/);
  t.regex(held.stderr, /--over-budget/);
  const viewer = await cluster.mesq('token', 'create', '--role', 'viewer', '--name', 'eve', '--json');
  const { token } = JSON.parse(viewer.stdout) as { token: string };
  const refused = await cluster.mesq('logs', '--over-budget', job, '--token', token);
  t.is(refused.code, 7, refused.stderr);
  const whole = await cluster.mesq('logs', '--over-budget', job);
  t.is(whole.code, 0, whole.stderr);
  t.is(whole.stdout.length, 250_000);

  const shown = await cluster.mesq('agent', 'stats', 'a1', '--token', token);
  t.is(shown.code, 0, shown.stderr);
  t.regex(shown.stdout, /bulk +budget a day +6\d\.\d kB/);
  t.regex(shown.stdout, /tasks +started, restarted +1, 0/);
  const json = await cluster.mesq('agent', 'stats', 'a1', '--json');
  const { stats } = JSON.parse(json.stdout);
  t.true(stats.bulk.over > 100_000 && stats.bulk.spent > stats.bulk.over);
  // Deflated on its way: base64 holds three quarters of what it shows.
  t.true(stats.bulk.spent < 300_000);
  t.true(stats.link.wireBytes > stats.bulk.spent);
  t.true(stats.process.rssKb > 10_000);
  const none = await cluster.mesq('agent', 'stats', 'nobody');
  t.is(none.code, 3);
  t.regex(none.stderr, /there is no agent nobody/);
});
