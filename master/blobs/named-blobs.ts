/** Whatever is written as `blob:` and a SHA-256 anywhere in a text. */
const NAME = /blob:([0-9a-f]{64})/g;

/**
 * The blobs that somebody may still need: those of live tasks, and those that any framework has written down in its store,
 * as batch has every live job. To take a text for a name where it is none keeps a blob too long, and harms nothing.
 */
export function namedBlobs(
  tasks: Iterable<{ readonly info: { readonly artifacts?: readonly { readonly uri: string }[] | undefined } }>,
  store: Iterable<{ readonly value: string }>,
): Set<string> {
  const named = new Set<string>();
  const look = (text: string): void => {
    for (const [, blob = ''] of text.matchAll(NAME)) named.add(blob);
  };
  for (const { info } of tasks) for (const { uri } of info.artifacts ?? []) look(uri);
  for (const { value } of store) look(value);
  return named;
}
