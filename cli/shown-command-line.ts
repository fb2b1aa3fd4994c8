const SECRET_OPTION = /^--token(?:=|$)/;

/**
 * The command line as other users of the machine may see it (proc(5): `cmdline` is readable by everybody): what follows
 * `--token` is hidden. Undefined where there is nothing to hide.
 */
export function shownCommandLine(words: readonly string[]): string | undefined {
  if (!words.some((word) => SECRET_OPTION.test(word))) return undefined;
  const shown = words.map((word, at) => {
    if (words[at - 1] === '--token') return '***';
    return word.startsWith('--token=') ? '--token=***' : word;
  });
  return shown.join(' ');
}
