import { LIMITS } from './limits.ts';

/** The role of everybody: resources that are reserved for nobody. */
export const ANY_ROLE = '*';

const FORBIDDEN = /[\s\p{Cc}(){}[\];:,"]/u;

/**
 * What is wrong with a role's name, and at which offset; undefined where nothing is. Roles form a tree, written
 * `a/b/c`. Mesos's rules (src/common/roles.cpp): no empty component, no `.` or `..`, no leading `-`, no `*` component,
 * no white space. Ours on top: no control characters and none that Mesos's resource syntax gives a meaning.
 */
export function roleProblem(role: string): { at: number; problem: string } | undefined {
  if (role === ANY_ROLE) return undefined;
  if (role.length > LIMITS.roleLength) return { at: 0, problem: `a role has at most ${LIMITS.roleLength} characters` };
  const forbidden = role.search(FORBIDDEN);
  if (forbidden >= 0) return { at: forbidden, problem: `a role cannot have ${JSON.stringify(role.charAt(forbidden))}` };
  let at = 0;
  for (const component of role.split('/')) {
    const problem = componentProblem(component);
    if (problem !== undefined) return { at, problem };
    at += component.length + 1;
  }
  return undefined;
}

function componentProblem(component: string): string | undefined {
  if (component === '') return 'a role has no empty part (one or more names with "/" between them)';
  if (component === '.' || component === '..') return 'a part of a role cannot be "." or ".."';
  if (component === '*') return '"*" is a role only by itself';
  if (component.startsWith('-')) return 'a part of a role cannot begin with "-"';
  return undefined;
}

/** True where `role` may use what is reserved for `owner`: it is the same role, or below it (`a/b` is below `a`, `a/bx` is not below `a/b`). */
export function mayUse(role: string, owner: string): boolean {
  return role.startsWith(owner) && (role.length === owner.length || role.charAt(owner.length) === '/');
}
