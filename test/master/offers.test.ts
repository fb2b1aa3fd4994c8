import test from 'ava';
import { type Acceptance, accept } from '../../master/offers/accept.ts';
import { refuseFor } from '../../master/offers/filters.ts';
import { OfferBook, type OpenOffer } from '../../master/offers/offer-book.ts';
import { Fault } from '../../protocol/faults.ts';
import { formatResources } from '../../protocol/resources.ts';
import type { TaskInfo } from '../../protocol/task.ts';
import { resourcesOf } from '../resources-of.ts';

function offer(id: string, over: Partial<OpenOffer> = {}): OpenOffer {
  return {
    offer: id,
    framework: 'f',
    role: 'r',
    agent: 'a',
    resources: resourcesOf('cpus:2;mem:64'),
    expiresMs: 30_000,
    createdMs: 0,
    ...over,
  };
}

function task(id: string, resources = 'cpus:1;mem:32'): TaskInfo {
  return { task: id, attempt: 0, argv: ['true'], resources: resourcesOf(resources), restart: 'never', killGraceMs: 0 };
}

function launch(book: OfferBook, framework: string, offers: string[], tasks: TaskInfo[]): Acceptance | Fault {
  return accept(book, framework, offers, [{ type: 'LAUNCH', tasks }], () => ({}));
}

function launched({ steps }: Acceptance): string[] {
  return steps.flatMap((step) => (step.kind === 'launch' ? step.tasks.map((one) => one.task) : []));
}

test('an offer is spent by its acceptance, and what the tasks leave is declined', (t) => {
  const book = new OfferBook();
  book.add(offer('o1'));
  const result = launch(book, 'f', ['o1'], [task('x'), task('y', 'cpus:2'), task('x')]);
  if (result instanceof Fault) return t.fail(result.message);
  t.deepEqual(launched(result), ['x']);
  t.deepEqual(
    result.refused.map(({ fault }) => fault.code),
    ['OVER_OFFER', 'EXISTS'],
  );
  t.is(formatResources(result.rest), 'cpus:1;mem:32');
  t.is(book.size, 0);
  const again = launch(book, 'f', ['o1'], [task('z')]);
  t.is(again instanceof Fault ? again.code : '', 'OFFER_GONE');
});

test('offers of one agent and role combine; others do not, and a stranger has none', (t) => {
  const book = new OfferBook();
  book.add(offer('o1'));
  book.add(offer('o2'));
  const both = launch(book, 'f', ['o1', 'o2', 'o2'], [task('big', 'cpus:4')]);
  t.is(both instanceof Fault ? 0 : launched(both).length, 1);
  book.add(offer('o3'));
  book.add(offer('o4', { agent: 'b' }));
  const mixed = launch(book, 'f', ['o3', 'o4'], [task('x')]);
  t.is(mixed instanceof Fault ? '' : mixed.refused[0]?.fault.code, 'BAD_SHAPE');
  book.add(offer('o5'));
  const stranger = launch(book, 'g', ['o5'], [task('x')]);
  t.is(stranger instanceof Fault ? stranger.code : '', 'OFFER_GONE');
  t.is(book.size, 1, 'and it takes nothing away');
});

test('offers time out in the order of their deadlines', (t) => {
  const book = new OfferBook();
  book.add(offer('o1', { expiresMs: 10 }));
  book.add(offer('o2', { expiresMs: 20 }));
  t.deepEqual(book.expired(9), []);
  t.deepEqual(
    book.expired(10).map((open) => open.offer),
    ['o1'],
  );
  book.take('o1');
  t.is(book.nextExpiry(), 20);
  t.deepEqual(
    book.ofAgent('a').map((open) => open.offer),
    ['o2'],
  );
});

test('refusals are clamped as Mesos clamps them', (t) => {
  t.is(refuseFor(undefined), 5_000);
  t.is(refuseFor(-1), 5_000);
  t.is(refuseFor(0), 0);
  t.is(refuseFor(10), 1_000);
  t.is(refuseFor(99_999_999_000), 31_536_000_000);
});
