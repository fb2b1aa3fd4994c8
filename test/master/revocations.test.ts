import test from 'ava';
import { emptyRegistry, type Registry, type TokenRecord } from '../../master/registry/registry.ts';
import { revokedBetween, revokedNames } from '../../master/registry/revocations.ts';

function holding(...tokens: readonly Pick<TokenRecord, 'token' | 'name'>[]): Registry {
  const registry = emptyRegistry();
  for (const record of tokens) registry.tokens.set(record.token, record as TokenRecord);
  return registry;
}

test('who lost a credential is told of by events, and by a snapshot that passes over them', (t) => {
  t.deepEqual(
    [
      ...revokedNames([
        { kind: 'TOKENS_REVOKED', names: ['eve', 'eve', 'bob'], request: 'r1' },
        { kind: 'AGENT_JOINED', name: 'attic', revoked: ['pi'], request: 'r2' },
      ]),
    ],
    ['eve', 'bob', 'pi'],
  );
  const before = holding({ token: 't1', name: 'eve' }, { token: 't2', name: 'bob' }, { token: 't3', name: 'pi' });
  const after = holding({ token: 't2', name: 'bob' }, { token: 't4', name: 'pi' }, { token: 't5', name: 'ann' });
  t.deepEqual([...revokedBetween(before, after)], ['eve', 'pi'], 'another secret of the same name is another');
  t.deepEqual([...revokedBetween(emptyRegistry(), before)], []);
});
