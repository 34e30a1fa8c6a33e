/**
 * Names that have been replaced, each with its successor. Whoever still uses an old one gets a hint; an old name has no
 * other effect.
 */
export const renamed: Readonly<Record<'commands' | 'paths', Readonly<Record<string, string>>>> = {
  commands: { places: 'channels' },
  paths: { '/api/me/places': '/api/me/channels' },
}

/** Returns the address that replaced this one or one of its parents, or undefined if none did. */
export function newPathOf(path: string): string | undefined {
  const old = Object.keys(renamed.paths).find((one) => path === one || path.startsWith(`${one}/`))
  return old && `${renamed.paths[old]}${path.slice(old.length)}`
}
