/** `registry:5000/path` and `tag` of a name; the tag of one without any is `latest`. Digests stay with the path. */
export function splitImageName(name: string): { repo: string; tag?: string } {
  if (name.includes('@')) return { repo: name }
  const colon = name.lastIndexOf(':')
  if (colon < 0 || name.indexOf('/', colon) >= 0) return { repo: name, tag: 'latest' }
  return { repo: name.slice(0, colon), tag: name.slice(colon + 1) }
}

/** Host of the registry that a name leads to. */
export function registryOf(name: string): string {
  const first = name.split('/')[0]!
  const isHost = name.includes('/') && (/[.:]/.test(first) || first === 'localhost')
  return isHost ? first : 'docker.io'
}
