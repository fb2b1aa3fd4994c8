import type { ErrorCode } from 'yaml';

interface Words {
  readonly message: string;
  readonly hint: string;
}

const QUOTE = 'Put quotes around a text that has one of : # @ % ` or begins with [ { * & !.';
const INDENT = 'Fields of one level begin in the same column; what belongs to a field stands deeper.';

/** What is wrong with text that is not YAML, for people; the library speaks of its own parts. `written` is its message. */
export function yamlWords(code: ErrorCode, written: string): Words {
  switch (code) {
    case 'MULTIPLE_DOCS':
      return { message: 'there is a second document behind ---', hint: 'Write one job a file.' };
    case 'DUPLICATE_KEY':
      return { message: 'this field is there twice', hint: 'Leave one of them.' };
    case 'TAB_AS_INDENT':
      return { message: 'a tab indents this line', hint: 'Indent with spaces.' };
    case 'BLOCK_AS_IMPLICIT_KEY':
      return {
        message: 'there is a field within the value of a field',
        hint: `${INDENT} A text with ": " in it has quotes around it.`,
      };
    case 'MISSING_CHAR': {
      const quote = /^Missing closing (["'])/.exec(written)?.[1];
      if (quote !== undefined) return { message: `the text has no closing ${quote}`, hint: `Add the ${quote}.` };
      if (written.startsWith('Implicit map keys'))
        return { message: 'there is no ":" and value', hint: 'Write FIELD: VALUE, as in count: 3.' };
      return { message: `${lowered(written)}`, hint: QUOTE };
    }
    case 'BAD_INDENT': {
      const end = /end with a (.)$/.exec(written)?.[1];
      if (end !== undefined)
        return { message: `the list or map is not closed`, hint: `Add the ${end}, indented deeper than its field.` };
      return { message: 'this line begins in a column of its own', hint: INDENT };
    }
    case 'BAD_SCALAR_START':
      return {
        message: `a text cannot begin with ${written.at(-1) ?? 'that'} unless it has quotes around it`,
        hint: QUOTE,
      };
    case 'UNEXPECTED_TOKEN':
      return {
        message: 'this is not expected here',
        hint: `Is a bracket, a comma or a line break out of place? ${QUOTE}`,
      };
    case 'BAD_DQ_ESCAPE':
      return {
        message: `${lowered(written)} within double quotes`,
        hint: 'Write a backslash as \\\\, or use single quotes.',
      };
    default:
      return { message: `not YAML: ${lowered(written)}`, hint: `${INDENT} ${QUOTE}` };
  }
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
