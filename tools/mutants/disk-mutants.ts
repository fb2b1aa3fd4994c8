import { CORE, FENCING, type Mutant } from './mutant.ts';

/** Of what is durable, and what is found of it. */
export const DISK_MUTANTS: readonly Mutant[] = [
  {
    name: 'the shell reports a write before it is durable',
    file: 'master/log.js',
    from: 'durable\n            .then(() => {',
    to: 'Promise.resolve()\n            .then(() => {',
    tests: FENCING,
  },
  {
    name: 'a failed sync is not fatal',
    file: 'master/log.js',
    from: '.catch((error) => this.#fail(error));',
    to: '.catch(() => undefined);',
    tests: CORE,
  },
  {
    name: 'a failed sync is tried again',
    file: 'io/journal.js',
    from: 'await this.#file.writeDurably(this.#position, bytes);',
    to: 'await this.#file.writeDurably(this.#position, bytes).catch(() => this.#file.sync());',
    tests: [...CORE, 'io/journal.test.js'],
  },
  {
    name: 'a damaged record is taken for a torn write',
    file: 'io/journal-recovery.js',
    from: 'if (later !== undefined)',
    to: 'if (false)',
    tests: ['io/journal.test.js', 'master/damaged-log.test.js'],
  },
  {
    name: 'a torn write is left where it is',
    file: 'io/journal.js',
    from: 'if (findings.torn !== undefined)',
    to: 'if (false)',
    tests: ['io/journal.test.js'],
  },
  {
    name: 'a master whose log was set aside counts as new',
    file: 'master/open-log.js',
    from: 'const rejoins = blank &&',
    to: 'const rejoins = false &&',
    tests: ['master/damaged-log.test.js'],
  },
  {
    name: 'of one that rejoins, a torn write leaves a founder',
    file: 'master/raft/records.js',
    from: 'return hardState?.rejoining === true ?',
    to: 'return false ?',
    tests: ['master/damaged-log.test.js'],
  },
];
