import test from 'ava';
import { readJobFile } from '../../cli/job-file.ts';
import { Fault } from '../../protocol/faults.ts';
import { formatResources } from '../../protocol/resources.ts';

function read(text: string) {
  return readJobFile('j1', `command: [serve]\n${text}`, 'job.yaml');
}

test('a health check as people write it, with the defaults of Mesos for what they do not', async (t) => {
  const written = `
labels: { tier: front }
ports: 1
healthCheck:
  http: { path: /health }
  delay: 5s
  failures: 2
`;
  t.like(await read(written), {
    labels: { tier: 'front' },
    healthCheck: {
      http: { scheme: 'http', path: '/health' },
      delayMs: 5_000,
      intervalMs: 10_000,
      timeoutMs: 20_000,
      consecutiveFailures: 2,
      gracePeriodMs: 10_000,
    },
  });
  t.like(await read('healthCheck: { tcp: 5432 }'), { healthCheck: { tcp: { port: 5432 }, consecutiveFailures: 3 } });
  t.like(await read('healthCheck: { command: test -e ready }'), {
    healthCheck: { command: { argv: ['sh', '-c', 'test -e ready'] } },
  });
  t.like(await read('healthCheck: { command: [test, -e, ready] }'), {
    healthCheck: { command: { argv: ['test', '-e', 'ready'] } },
  });
});

test('artifacts as a list of texts and maps; a comma in an address is the address’s own', async (t) => {
  const sha256 = '0'.repeat(64);
  const written = `
artifacts:
  - http://h/a,b/tool,executable
  - { uri: "https://h/app.tgz", path: app, extract: true, sha256: "${sha256}" }
  - "http://h/x,path=y,cache,sha256=${sha256}"
`;
  t.like(await read(written), {
    artifacts: [
      { uri: 'http://h/a,b/tool', executable: true, extract: false },
      { uri: 'https://h/app.tgz', path: 'app', extract: true, sha256 },
      { uri: 'http://h/x', path: 'y', cache: true, sha256 },
    ],
  });
  const wrong: Record<string, RegExp> = {
    '{uri: ftp://h/a}': /artifacts\.0: uri: an artifact is http/,
    'http://h/': /give it a path/,
    '{uri: "http://h/a", sha: x}': /no field sha/,
    '"http://h/a,path=../x"': /leads out of the sandbox/,
    '"http://h/a,sha256=12"': /64 hexadecimal digits/,
    '17': /artifacts\.0/,
  };
  for (const [one, words] of Object.entries(wrong)) {
    const fault = await read(`artifacts: [${one}]`);
    t.true(
      fault instanceof Fault && words.test(fault.message),
      `${one}: ${fault instanceof Fault ? fault.message : ''}`,
    );
  }
});

test('accelerators stand beside what has a field of its own', async (t) => {
  const job = await read('gpus: 1\naccelerators: "hailo:1;coral:2"');
  if (job instanceof Fault) return t.fail(job.message);
  t.is(formatResources(job.resources), 'cpus:1;mem:128;gpus:1;hailo:1;coral:2');
});

for (const odd of ['gpus:1', 'hailo:0.5', 'hailo(web):1', 'npus:[1-2]', 'hailo']) {
  test(`accelerators: ${odd} is refused, with its place`, async (t) => {
    const job = await read(`accelerators: "${odd}"`);
    t.true(job instanceof Fault && job.message.startsWith('job.yaml:2:'), String(job instanceof Fault && job.message));
  });
}

test('a size of memory that is written is a limit, the default is none, and either limit can be written by itself', async (t) => {
  const limitsOf = async (text: string): Promise<unknown> => {
    const spec = await read(text);
    return spec instanceof Fault ? spec.message : spec.limits;
  };
  t.is(await limitsOf('cpus: 2'), undefined);
  t.deepEqual(await limitsOf('mem: 1G'), { mem: 1_024_000 });
  t.deepEqual(await limitsOf('mem: 64\nlimitMem: 200'), { mem: 200_000 });
  t.deepEqual(await limitsOf('mem: 64\nlimitMem: unlimited'), { mem: 'unlimited' });
  t.deepEqual(await limitsOf('limitCpus: 1.5'), { cpus: 1_500 });
  t.regex(String(await limitsOf('limitMem: much')), /job\.yaml:2:11: limitMem: /);
});

for (const [what, text, says] of [
  ['two at once', 'healthCheck: { tcp: 1, command: x }', 'exactly one of command, http and tcp'],
  ['none', 'healthCheck: { delay: 1s }', 'exactly one of command, http and tcp'],
  ['a field that is not', 'healthCheck: { tpc: 1 }', 'there is no field "tpc"'],
  ['a port that is not', 'healthCheck: { tcp: 70000 }', 'tcp.port'],
  ['a path that is not', 'healthCheck: { http: { port: 1, path: health } }', 'a path begins with /'],
  ['a time that is not', 'healthCheck: { tcp: 1, delay: soon }', 'delay: '],
  ['no map', 'healthCheck: 8080', 'healthCheck is a map'],
  ['no map of disconnect', 'disconnect: 1h', 'disconnect is a map'],
  ['a field that disconnect has not', 'disconnect: { lostAfter: 1h }', 'there is no field "lostAfter"'],
  ['a time of disconnect that is not', 'disconnect: { lost_after: soon }', 'lost_after: '],
  ['a policy of Nomad alone', 'disconnect: { replace: true, reconcile: best_score }', 'there is no "best_score"'],
  ['a choice without a replacement', 'disconnect: { reconcile: keep_original }', 'chooses between'],
  [
    'too many labels',
    `labels: { ${Array.from({ length: 65 }, (_, at) => `l${at}: x`).join(', ')} }`,
    'at most 64 labels',
  ],
] as const) {
  test(`a job file with a mistake says where: ${what}`, async (t) => {
    const fault = await read(text);
    t.true(fault instanceof Fault);
    if (!(fault instanceof Fault)) return;
    t.regex(fault.message, /^job\.yaml:2:\d+: /);
    t.true(fault.message.includes(says), fault.message);
  });
}
