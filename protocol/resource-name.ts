import { LIMITS } from './limits.ts';

/** What names of resources and attributes must be: fit for a topic level, a JSON key and Mesos's syntax. */
export const RESOURCE_NAME = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${LIMITS.resourceNameLength - 1}}$`);

export const NAME_PROBLEM = `a name has 1 to ${LIMITS.resourceNameLength} of A-Z a-z 0-9 . _ -, starting with a letter or digit`;
