import * as v from 'valibot';
import { type Attributes, attributeOf, attributeText } from './attributes.ts';
import { faultAt, faultIn } from './fault-at.ts';
import { Fault } from './faults.ts';
import { LIMITS } from './limits.ts';
import { matchesPattern, type Pattern, parsePattern } from './pattern.ts';
import { NAME_PROBLEM, RESOURCE_NAME } from './resource-name.ts';
import { parseScalar } from './resource-scalar.ts';

interface Written {
  /** As the person wrote it. */
  readonly text: string;
  /** The name of an attribute, `hostname`, or `agent` (the agent's name). */
  readonly field: string;
}

export type Constraint = Written &
  (
    | { readonly kind: 'is' | 'is-not'; readonly value: string }
    | { readonly kind: 'like' | 'unlike'; readonly pattern: Pattern }
    /** No value twice. */
    | { readonly kind: 'unique' }
    /** All on one value: the first task's. */
    | { readonly kind: 'cluster' }
    /** At most so many on one value. */
    | { readonly kind: 'max-per'; readonly most: number }
    /** Spread evenly over the values; with `groups`, over at least so many. */
    | { readonly kind: 'group-by'; readonly groups?: number }
  );

/** Where a task might go. */
export interface Candidate {
  /** The agent's name. */
  readonly agent: string;
  readonly hostname: string;
  readonly attributes: Attributes;
}

/** How many live tasks of the same job each value of the constraint's field holds already; none with 0. */
export type Placed = ReadonlyMap<string, number>;

const NONE: Placed = new Map();

const OPERATORS: ReadonlyMap<string, 'is' | 'is-not' | 'like' | 'unlike'> = new Map([
  ['==', 'is'],
  ['!=', 'is-not'],
  ['~=', 'like'],
  ['!~', 'unlike'],
]);

/**
 * `board==jetson-orin-nano`, `site!=roof`, `arch~=arm.*` and `arch!~arm.*` (regular expressions for the whole value,
 * RE2's, see pattern.ts), and Marathon's `unique:hostname`, `cluster:site`, `max-per:site:2`, `group-by:site`, `group-by:site:3`,
 * `like:arch:arm.*`, `unlike:arch:arm.*`. Spaces around the parts are ignored. Faults: BAD_CONSTRAINT, with the character.
 */
export function parseConstraint(text: string): Constraint | Fault {
  if (text.length > LIMITS.constraintLength)
    return faultIn(
      'BAD_CONSTRAINT',
      text,
      LIMITS.constraintLength,
      `a constraint has at most ${LIMITS.constraintLength} characters`,
    );
  const marathon = /^\s*(unique|cluster|max-per|group-by|like|unlike)\s*:\s*/i.exec(text);
  const fieldFrom = marathon?.[0].length ?? text.length - text.trimStart().length;
  const field = /^[^\s=!~<>:]*/.exec(text.slice(fieldFrom))?.[0] ?? '';
  const at = fieldFrom + field.length;
  if (field === '') return faultAt('BAD_CONSTRAINT', text, at, 'the name of an attribute, hostname or agent');
  if (!RESOURCE_NAME.test(field)) return faultIn('BAD_CONSTRAINT', text, fieldFrom, NAME_PROBLEM);
  const word = marathon?.[1]?.toLowerCase();
  return word === undefined ? comparison(text, field, at) : marathonStyle(text, field, at, word);
}

/** Those of one job. Faults: BAD_CONSTRAINT, also where its expressions are too much for a leader together. */
export function parseConstraints(texts: readonly string[]): Constraint[] | Fault {
  const constraints: Constraint[] = [];
  let steps = 0;
  for (const text of texts) {
    const constraint = parseConstraint(text);
    if (constraint instanceof Fault) return constraint;
    if ('pattern' in constraint) steps += constraint.pattern.steps;
    constraints.push(constraint);
  }
  return steps <= LIMITS.patternStepsOfJob
    ? constraints
    : new Fault(
        'BAD_CONSTRAINT',
        `the regular expressions of a job have at most ${LIMITS.patternStepsOfJob} steps together, and these have ${steps}`,
      );
}

function comparison(text: string, field: string, fieldEnd: number): Constraint | Fault {
  const at = afterSpace(text, fieldEnd);
  const kind = OPERATORS.get(text.slice(at, at + 2));
  if (kind === undefined) return faultAt('BAD_CONSTRAINT', text, at, '"==", "!=", "~=" or "!~"');
  const from = afterSpace(text, at + 2);
  const value = text.slice(from).trimEnd();
  if (value === '') return faultAt('BAD_CONSTRAINT', text, from, 'a value');
  return kind === 'is' || kind === 'is-not' ? { kind, text, field, value } : withPattern(kind, text, field, from);
}

function marathonStyle(text: string, field: string, fieldEnd: number, word: string): Constraint | Fault {
  const colon = afterSpace(text, fieldEnd);
  const hasMore = text.charAt(colon) === ':';
  const from = afterSpace(text, hasMore ? colon + 1 : colon);
  const rest = text.slice(from).trimEnd();
  if (!hasMore && rest !== '') return faultAt('BAD_CONSTRAINT', text, from, '":" or the end');
  switch (word) {
    case 'like':
    case 'unlike':
      return rest === ''
        ? faultAt('BAD_CONSTRAINT', text, text.length, '":" and a pattern')
        : withPattern(word, text, field, from);
    case 'max-per': {
      const most = count(rest);
      return most === undefined
        ? faultAt('BAD_CONSTRAINT', text, from, '":" and how many, from 1')
        : { kind: word, text, field, most };
    }
    case 'group-by': {
      if (!hasMore) return { kind: word, text, field };
      const groups = count(rest);
      return groups === undefined
        ? faultAt('BAD_CONSTRAINT', text, from, 'how many groups, from 1')
        : { kind: word, text, field, groups };
    }
    default:
      if (hasMore) return faultAt('BAD_CONSTRAINT', text, colon, 'the end');
      return { kind: word === 'cluster' ? 'cluster' : 'unique', text, field };
  }
}

function withPattern(kind: 'like' | 'unlike', text: string, field: string, from: number): Constraint | Fault {
  const pattern = parsePattern(text.slice(from).trimEnd());
  return 'problem' in pattern
    ? faultIn('BAD_CONSTRAINT', text, from + pattern.at, pattern.problem)
    : { kind, text, field, pattern };
}

function count(text: string): number | undefined {
  return /^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined;
}

function afterSpace(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text.charAt(at))) at++;
  return at;
}

/** A candidate's value of a field; undefined where it has none. An attribute named `hostname` or `agent` is hidden by the real one. */
export function fieldValue(candidate: Candidate, field: string): string | undefined {
  if (field === 'hostname') return candidate.hostname;
  if (field === 'agent') return candidate.agent;
  const attribute = attributeOf(candidate.attributes, field);
  return attribute === undefined ? undefined : attributeText(attribute);
}

/**
 * True where a task with this constraint may go to the candidate. Only `unique`, `cluster`, `max-per` and `group-by` look at
 * what is placed. As in Marathon, one without the field passes `!=` and `unlike`, and nothing else.
 */
export function matches(constraint: Constraint, candidate: Candidate, placed: Placed = NONE): boolean {
  const value = fieldValue(candidate, constraint.field);
  if (value === undefined) return constraint.kind === 'is-not' || constraint.kind === 'unlike';
  switch (constraint.kind) {
    case 'is':
      return isSame(value, constraint.value);
    case 'is-not':
      return !isSame(value, constraint.value);
    case 'like':
      return matchesPattern(constraint.pattern, value);
    case 'unlike':
      return !matchesPattern(constraint.pattern, value);
    case 'unique':
      return !placed.has(value);
    case 'cluster':
      return placed.size === 0 || placed.has(value);
    case 'max-per':
      return (placed.get(value) ?? 0) < constraint.most;
    case 'group-by':
      return (placed.get(value) ?? 0) <= fewest(placed, constraint.groups ?? 1);
  }
}

/** An agent's attribute `runs:actions`: it executes no programs, and only does what its firmware can (docs/devices-as-agents.md). */
const ONLY_ACTIONS = { field: 'runs', value: 'actions' } as const;
/** Fields by which one means a device, or a kind of device. */
const NAMING: ReadonlySet<string> = new Set(['runs', 'board', 'model', 'hostname', 'agent']);

/**
 * True where a task with these constraints is meant for such a candidate: one that executes programs takes any; one that
 * only does actions takes what names it, with `==` on its board, model, host name or name, or with `runs==actions`.
 */
export function isMeantFor(constraints: readonly Constraint[], candidate: Candidate): boolean {
  if (fieldValue(candidate, ONLY_ACTIONS.field) !== ONLY_ACTIONS.value) return true;
  return constraints.some(
    (constraint) => constraint.kind === 'is' && NAMING.has(constraint.field) && matches(constraint, candidate),
  );
}

/** Counts the values of a constraint's field where the job's live tasks are: one candidate a task. */
export function countPlaced(constraint: Constraint, tasks: Iterable<Candidate>): Placed {
  const placed = new Map<string, number>();
  for (const candidate of tasks) {
    const value = fieldValue(candidate, constraint.field);
    if (value !== undefined) placed.set(value, (placed.get(value) ?? 0) + 1);
  }
  return placed;
}

/** Equal as text or, where both are numbers, as numbers: `4` is `4.0`. */
function isSame(a: string, b: string): boolean {
  if (a === b) return true;
  const number = parseScalar(a);
  return number !== undefined && number === parseScalar(b);
}

/** Tasks on the emptiest value; 0 while not all the groups are in use. */
function fewest(placed: Placed, groups: number): number {
  return placed.size < groups ? 0 : Math.min(...placed.values());
}

/** On the wire: the text of one. Output: what {@link parseConstraint} makes of it. */
export const ConstraintSchema = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): Constraint => {
    const constraint = parseConstraint(dataset.value);
    if (!(constraint instanceof Fault)) return constraint;
    addIssue({ message: constraint.message });
    return NEVER;
  }),
);
