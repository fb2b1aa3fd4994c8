import { quietPort } from './quiet-port.ts';

/** Another process that finds ports: says which, and then ends. */
const found: number[] = [];
while (found.length < Number(process.argv[2])) found.push(await quietPort());
process.send?.(found);
