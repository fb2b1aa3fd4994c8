import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { containersConformance } from '../conformance/containers.ts';
import { type OwnPodman, podmanMissing, startPodman } from './podman.ts';

const missing = podmanMissing();
let podman: OwnPodman;
let folder: string;

if (missing !== undefined && process.env['CI'] !== 'true') {
  anyTest.skip(`a real engine: ${missing}`, () => undefined);
} else {
  const test = anyTest.serial as unknown as TestFn;
  anyTest.before(async () => {
    podman = await startPodman();
    folder = await mkdtemp(join(tmpdir(), 'mesq-mounted-'));
    await writeFile(join(folder, 'greeting'), 'hello');
  });
  anyTest.after.always(async () => {
    await podman?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  containersConformance(test, () => ({
    engine: podman.engine,
    image: podman.image,
    folder,
    tellsOutOfMemory: existsSync('/sys/fs/cgroup/cgroup.controllers'),
    name: () => `mesq-test-${randomUUID()}`,
    show: (path) => ['/bin/cat', path],
    programs: {
      say: (out, error, code) => [
        '/bin/sh',
        '-c',
        'printf %s "$1"; printf %s "$2" >&2; exit "$3"',
        'say',
        out,
        error,
        String(code),
      ],
      stay: (out) => [
        '/bin/sh',
        '-c',
        'trap "exit 143" TERM; printf %s "$1"; while :; do sleep 0.1; done',
        'stay',
        out,
      ],
      gorge: () => ['/bin/tail', '/dev/zero'],
    },
  }));
}
