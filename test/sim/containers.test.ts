import test from 'ava';
import { EngineError, StopRequest } from '../../io/containers.ts';
import { containersConformance } from '../conformance/containers.ts';
import { type SimulatedContainer, SimulatedEngine } from './containers.ts';

const program = (does: SimulatedContainer): string[] => [JSON.stringify(does)];
let names = 0;

containersConformance(test, () => {
  const engine = new SimulatedEngine('localhost/image:1');
  engine.files.set('/srv/given/greeting', 'hello');
  return {
    engine,
    image: 'localhost/image:1',
    folder: '/srv/given',
    tellsOutOfMemory: true,
    name: () => `container-${names++}`,
    show: (path) => program({ show: path }),
    programs: {
      say: (stdout, stderr, code) => program({ stdout, stderr, code }),
      stay: (stdout) => program({ stdout, stays: true }),
      gorge: () => program({ memoryBytes: 64 * 1_048_576 }),
    },
  };
});

test('an image comes from the registry, or the pull says why not; an engine that is down says so', async (t) => {
  const engine = new SimulatedEngine();
  engine.registry.add('r/a:1');
  engine.pullFailure = new EngineError('FAILED', 'the connection broke');
  const pull = (image: string) => engine.pull(image, () => undefined, new StopRequest());
  t.is((await t.throwsAsync(pull('r/a:1'), { instanceOf: EngineError }))?.code, 'FAILED');
  engine.pullFailure = undefined;
  t.is((await t.throwsAsync(pull('r/b:1'), { instanceOf: EngineError }))?.code, 'NOT_FOUND');
  await pull('r/a:1');
  t.truthy(await engine.image('r/a:1'));
  t.true(await engine.removeImage('r/a:1'));
  engine.down = true;
  t.is((await t.throwsAsync(engine.version(), { instanceOf: EngineError }))?.code, 'UNAVAILABLE');
});
