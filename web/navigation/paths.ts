/** An address below the hub's base path, in parts. */
export interface Address {
  path: string
  /** The search part as in the address, without `?`. */
  search: string
  /** The fragment as in the address, without `#`. */
  hash: string
}

/** The parsed search part of an address. Values stay texts: `?q=12` is a text, not a number. */
export type Search = Record<string, unknown>

export function addressOf(href: string): Address {
  const [before, ...hash] = href.split('#')
  const [path, ...search] = before!.split('?')
  return { path: path!.replace(/\/+$/, '') || '/', search: search.join('?'), hash: hash.join('#') }
}

export const parseSearch = (text: string): Search => Object.fromEntries(new URLSearchParams(text))

/** Formats the given values as the search part of an address. */
export function searchText(search: object): string {
  const present = Object.entries(search).filter(([, value]) => value !== undefined && value !== '')
  return new URLSearchParams(present.map(([name, value]) => [name, String(value)])).toString()
}

export const hrefOf = (path: string, search: object, hash: string): string => {
  const text = searchText(search)
  return `${path}${text && `?${text}`}${hash && `#${hash}`}`
}

/** Fills in the names of a pattern such as `/runs/$run`. */
export const fillPath = (pattern: string, params: Readonly<Record<string, string>> = {}): string =>
  pattern.replace(/\$(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))

/** Returns the values that a path has for the names of a pattern, or undefined if it does not match. */
export function paramsOf(pattern: string, path: string): Record<string, string> | undefined {
  const patternParts = pattern.split('/')
  const parts = path.split('/')
  if (patternParts.length !== parts.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, part] of patternParts.entries()) {
    const is = parts[index]!
    if (!part.startsWith('$')) {
      if (part !== is) return undefined
    } else if (is === '') return undefined
    else
      try {
        params[part.slice(1)] = decodeURIComponent(is)
      } catch {
        return undefined
      }
  }
  return params
}

/** Reports whether an address is that of a link, or below it. */
export function isAt(here: Address, link: Address): boolean {
  if (here.path !== link.path && !here.path.startsWith(`${link.path}/`)) return false
  const search = parseSearch(here.search)
  return Object.entries(parseSearch(link.search)).every(([name, value]) => search[name] === value)
}
