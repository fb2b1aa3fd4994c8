import * as v from 'valibot';
import { roleProblem } from './resource-role.ts';

/** A role, or `*` for what is nobody's. */
export const RoleSchema = v.pipe(
  v.string(),
  v.rawCheck(({ dataset, addIssue }) => {
    const wrong = dataset.typed ? roleProblem(dataset.value) : undefined;
    if (wrong !== undefined) addIssue({ message: wrong.problem });
  }),
);
