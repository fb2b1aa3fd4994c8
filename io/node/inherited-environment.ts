const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ', 'USER', 'SHELL'];

/** What tasks inherit of a process that has this environment. */
export function inherited(environment: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
  for (const name of INHERITED) {
    const value = environment[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
