import test from 'ava';
import { readJobFile, uploadsOfJobFile } from '../../cli/job-file.ts';
import { artifactsOf } from '../../cli/written-artifact.ts';
import { Artifact } from '../../protocol/artifact.ts';
import { ContainerInfo } from '../../protocol/container.ts';
import { Fault } from '../../protocol/faults.ts';
import { formatResources } from '../../protocol/resources.ts';
import { Disconnect } from '../../protocol/task.ts';

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
    '{uri: "http://h/a", sha: x}': /no field "sha"/,
    '"http://h/a,path=../x"': /leads out of the sandbox/,
    '"http://h/a,sha256=12"': /64 hexadecimal digits/,
    '"http://h/a,chekcsum=12"': /artifacts\.0: there is no option "chekcsum"/,
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

for (const [what, text, place, hint] of [
  ['a value of a check', 'healthCheck:\n  http:\n    port: 1\n    path: health\n', '5:11', /./],
  ['a time of a check', 'healthCheck:\n  tcp: 1\n  delay: soon\n', '4:10', /./],
  ['a number of a check by the name it has in the file', 'healthCheck:\n  tcp: 1\n  failures: 0\n', '4:13', /./],
  ['a name within a probe', 'healthCheck:\n  http:\n    prot: 1\n', '4:5', /Did you mean port\?/],
  ['a name of a check', 'healthCheck:\n  tcp: 1\n  intervall: 1s\n', '4:3', /Did you mean interval\?/],
  ['a name of disconnect', 'disconnect:\n  replace: true\n  lost_afer: 1h\n', '4:3', /Did you mean lost_after\?/],
  ['a value of disconnect', 'disconnect:\n  lost_after: 1h\n  replace: perhaps\n', '4:12', /./],
  [
    'a name of an artifact',
    'artifacts:\n  - http://h/a\n  - uri: http://h/b\n    exract: true\n',
    '5:5',
    /Did you mean extract\?/,
  ],
  ['a value of an artifact', 'artifacts:\n  - http://h/a\n  - uri: http://h/b\n    sha256: x\n', '5:13', /./],
  [
    'an artifact written in a line',
    'artifacts:\n  - http://h/a\n  - http://h/b,exract\n',
    '4:5',
    /Did you mean extract\?/,
  ],
  ['a name of a container', 'container:\n  image: busybox\n  netwrk: host\n', '4:3', /Did you mean network\?/],
  ['a value of a container', 'container:\n  image: busybox\n  pull: maybe\n', '4:9', /./],
  [
    'a port of a container',
    'container:\n  image: busybox\n  ports:\n    - container: 80\n    - hst: 1\n',
    '6:7',
    /Did you mean host\?/,
  ],
  ['a volume of a container', 'container:\n  image: b\n  volumes:\n    - host: /x\n      path: y\n', '6:13', /./],
  ['one of several constraints', 'constraints:\n  - a==b\n  - a=b\n', '4:5', /./],
  ['a value of the environment', 'env:\n  GOOD: 1\n  1BAD: 2\n', '4:9', /./],
] as const) {
  test(`a mistake in a field within a field has the line of that one: ${what}`, async (t) => {
    const fault = await read(text);
    t.true(fault instanceof Fault);
    if (!(fault instanceof Fault)) return;
    t.true(fault.message.startsWith(`job.yaml:${place}: `), fault.message);
    t.regex(fault.hint, hint);
  });
}

test('everything that the pages say of a container, a check and disconnect is known', async (t) => {
  const job = await read(`
healthCheck:
  http: { port: 1, scheme: https, path: /x }
  delay: 1s
  interval: 1s
  timeout: 1s
  grace: 1s
  failures: 1
disconnect: { lost_after: 1h, stop_on_client_after: 1h, replace: true, reconcile: keep_original }
container:
  image: busybox
  pull: never
  workdir: /w
  user: nobody
  network: bridge
  ports: [{ container: 80, host: 31000 }]
  volumes: [{ host: /x, path: /y, readOnly: true }, { volume: v, path: /z }]
artifacts: [{ uri: "http://h/x", path: p, extract: false, executable: true, cache: true }]
`);
  t.false(job instanceof Fault, job instanceof Fault ? job.message : '');
  if (job instanceof Fault) return;
  const names = (of: object | undefined): string[] => Object.keys(of ?? {}).sort();
  t.deepEqual(names(job.container), Object.keys(ContainerInfo.entries).sort());
  t.deepEqual(names(job.disconnect), Object.keys(Disconnect.entries).sort());
  t.deepEqual(names({ ...job.artifacts?.[0], sha256: '' }), Object.keys(Artifact.entries).sort());
});

for (const [text, hint] of [
  ['http://h/a,chekcsum=12', 'Did you mean sha256=…?'],
  ['http://h/a,sha=12', 'Did you mean sha256=…?'],
  ['http://h/a,extrct', 'Did you mean extract?'],
  ['http://h/a,Extract', 'Did you mean extract?'],
  ['http://h/a,pth=x,extract', 'Did you mean path=…?'],
  ['http://h/a,mode=755', 'Take one of path, extract, executable, cache, sha256.'],
  ['http://h/a?b=1,exectable', 'Did you mean executable?'],
] as const) {
  test(`a slip in what stands behind an address is no part of it: ${text}`, (t) => {
    const fault = artifactsOf([text]);
    t.true(fault instanceof Fault);
    if (fault instanceof Fault) t.true(fault.hint.startsWith(hint), `${fault.message}: ${fault.hint}`);
  });
}

for (const text of [
  'http://h/a,b/tool',
  'http://h/tool?x=1,y=2',
  'http://h/maps/1,2',
  'http://h/a,b.tar',
  'http://h/a,path',
]) {
  test(`a comma may be the address’s own: ${text}`, (t) => {
    const made = artifactsOf([text]);
    if (text.endsWith(',path')) t.true(made instanceof Fault);
    else t.like(made, [{ uri: text }]);
  });
}

test('no command, and too few CPUs, are told with their place and as the file calls them', async (t) => {
  const told = async (text: string): Promise<string> => ((await readJobFile('j1', text, 'job.yaml')) as Fault).message;
  t.is(await told('count: 1\ncommand: []'), 'job.yaml:2:10: command is empty');
  t.is(await told('command: [serve]\ncpus: -1'), 'job.yaml:2:7: cpus: "-1" is below 0');
  t.false(
    (await readJobFile('j1', 'command: []\ncontainer: {image: "docker.io/library/busybox:1.37"}', 'f')) instanceof
      Fault,
  );
});

test('what is uploaded has its place in the file', (t) => {
  const wanted = uploadsOfJobFile('command: [serve]\nupload: src\nfiles:\n  - a.bin\n  - b.bin', 'jobs/job.yaml');
  t.deepEqual(
    wanted.map(({ path, where }) => [path, where]),
    [
      ['jobs/src', 'jobs/job.yaml:2:9'],
      ['jobs/a.bin', 'jobs/job.yaml:4:5'],
      ['jobs/b.bin', 'jobs/job.yaml:5:5'],
    ],
  );
});

test('what is not YAML is told in words about the file, with its place and what is expected', async (t) => {
  for (const [text, says, hint] of [
    [
      'command: [serve]\n---\ncommand: [other]',
      /^job\.yaml:2:1: there is a second document behind ---$/,
      /one job a file/,
    ],
    ['count: 1\ncount: 2', /^job\.yaml:2:1: this field is there twice$/, /Leave one/],
    ['env:\n\tA: 1', /^job\.yaml:2:1: a tab indents this line$/, /spaces/],
    ['name: a: b', /^job\.yaml:1:7: there is a field within the value of a field$/, /quotes around it/],
    ['command: "serve', /^job\.yaml:1:16: the text has no closing "$/, /Add the "/],
    ['command: [serve\ncount: 2', /^job\.yaml:\d:\d+: /, /./],
    ['command: [serve', /^job\.yaml:1:16: the list or map is not closed$/, /Add the \]/],
    ['command: serve\ncount 3', /^job\.yaml:2:1: there is no ":" and value$/, /count: 3/],
    ['name: @x', /^job\.yaml:1:7: a text cannot begin with @ unless/, /quotes/],
    ['command: serve\n  count: 3', /^job\.yaml:\d:\d+: /, /./],
    ['command: "\\q"', /^job\.yaml:1:\d+: invalid escape sequence \\q within double quotes$/, /single quotes/],
    ['command: [serve]]', /^job\.yaml:1:17: this is not expected here$/, /bracket/],
  ] as const) {
    const fault = await readJobFile('j1', text, 'job.yaml');
    if (!(fault instanceof Fault)) return t.fail(text);
    t.is(fault.code, 'BAD_JOB');
    t.regex(fault.message, says);
    t.regex(fault.hint, hint);
    t.notRegex(`${fault.message} ${fault.hint}`, /YAML\.|flow|implicit|compact mapping/i, text);
  }
});
