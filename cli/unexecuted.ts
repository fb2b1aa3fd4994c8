import { EXIT } from './exit-codes.ts';

const SAID = /^setpriv: failed to execute ([^\r\n]*): ([^:\r\n]+)(\r?\n)$/;

const BEGINS = /^setpriv: (?:$|f[^\r\n]{0,4096}\r?\n?$)/;

/** Whether this may be all, or the beginning, of what the last step before a program says where it cannot be executed. */
export function maySayUnexecuted(text: string): boolean {
  return BEGINS.test(text);
}

/** The same for people, who know of no setpriv(1); text that says something else stays, and so does any other end. */
export function unexecutedWords(text: string, code: number): string {
  const [, program = '', why = '', end = '\n'] = SAID.exec(text) ?? [];
  if (why === '' || (code !== EXIT.notFound && code !== EXIT.notExecutable)) return text;
  if (code === EXIT.notFound) return `there is no program ${program}${end}`;
  return `${program} cannot be executed: ${why}${end}`;
}
