import { type Context, createContext, Script } from 'node:vm'

/**
 * A place in a glob: either one matching character leads to the next place, or it leads to other places without any
 * character.
 */
type GlobState = { fits(character: string): boolean } | { to: number[] }

export interface PathGlob {
  test(path: string): boolean
}

/**
 * Compiles a glob for whole paths: `*` and `?` within one name, `**` across folders, `[…]`, `{a,b}`. A leading dot is
 * nothing special. A glob that ends with `/` matches all below that folder. Throws for a set such as `[z-a]`. Globs and
 * paths come from strangers: as a regular expression a few `*` could take hours, while this takes at most the product
 * of both lengths.
 */
export function globPattern(glob: string): PathGlob {
  const places = placesOf(glob.endsWith('/') ? `${glob}**` : glob)
  return { test: (path) => leadsToEnd(places, path) }
}

function placesOf(glob: string): GlobState[] {
  const places: GlobState[] = []
  const braces: { starts: number[]; ends: { to: number[] }[] }[] = []
  /** Allows the inner places to repeat any number of times. */
  const repeated = (...within: GlobState[]): void => {
    const start = places.length
    places.push({ to: [start + 1, start + within.length + 2] }, ...within, { to: [start] })
  }
  const nextOfBraces = (): void => {
    const end = { to: [] }
    places.push(end)
    braces.at(-1)!.ends.push(end)
  }
  const closeBraces = (): void => {
    for (const { to } of braces.pop()!.ends) to.push(places.length)
  }
  for (let at = 0; at < glob.length; ) {
    const rest = glob.slice(at)
    const character = String.fromCodePoint(rest.codePointAt(0)!)
    const set = /^\[(!?)([^\]/]+)\]/.exec(rest)
    at += character.length
    if (rest.startsWith('**/') && (at === 1 || glob[at - 2] === '/')) {
      // A folder's name has at least one character.
      const start = places.length + 1
      repeated(inName, { to: [start, start + 2] }, exactly('/'))
      at += 2
    } else if (rest.startsWith('**')) {
      repeated({ fits: () => true })
      at += 1
    } else if (character === '*') repeated(inName)
    else if (character === '?') places.push(inName)
    else if (set) {
      places.push(oneOf(set[1] !== '', set[2]!))
      at += set[0].length - 1
    } else if (character === '{' && rest.includes('}')) {
      const starts = [places.length + 1]
      places.push({ to: starts })
      braces.push({ starts, ends: [] })
    } else if (character === '}' && braces.length > 0) closeBraces()
    else if (character === ',' && braces.length > 0) {
      nextOfBraces()
      braces.at(-1)!.starts.push(places.length)
    } else if (character === '\\' && at < glob.length) {
      const escaped = String.fromCodePoint(glob.codePointAt(at)!)
      places.push(exactly(escaped))
      at += escaped.length
    } else places.push(exactly(character))
  }
  while (braces.length > 0) closeBraces()
  return places
}

const inName: GlobState = { fits: (character) => character !== '/' }

const exactly = (expected: string): GlobState => ({ fits: (character) => character === expected })

function oneOf(isNot: boolean, characters: string): GlobState {
  const set = new RegExp(`^[${isNot ? '^/' : ''}${characters.replace(/[\\^[\]&~|]/g, '\\$&')}]$`, 'su')
  return { fits: (character) => set.test(character) }
}

/** Goes through the path once and tracks all possible places. */
function leadsToEnd(places: readonly GlobState[], path: string): boolean {
  const reachedIn = new Uint32Array(places.length + 1)
  let round = 0
  let here: number[] = []
  const reach = (first: number): void => {
    for (const waiting = [first]; waiting.length > 0; ) {
      const at = waiting.pop()!
      if (reachedIn[at] === round) continue
      reachedIn[at] = round
      const place = places[at]
      if (place && 'to' in place) waiting.push(...place.to)
      else here.push(at)
    }
  }
  round++
  reach(0)
  for (const character of path) {
    const before = here
    here = []
    round++
    for (const at of before) {
      const place = places[at]
      if (place && 'fits' in place && place.fits(character)) reach(at + 1)
    }
    if (here.length === 0) return false
  }
  return here.includes(places.length)
}

/** The rest of the process waits while guarded work runs. */
const MOST_MS = 500

/** Runs synchronous work with patterns that strangers wrote, some of which would never end. */
export class TimeGuard {
  #work: () => void = () => {}
  readonly #script = new Script('work()')
  readonly #context: Context = createContext({ work: () => this.#work() })

  /** Throws what the work throws, and its own Error when the work takes too long. */
  run<T>(work: () => T): T {
    let result: T | undefined
    this.#work = () => {
      result = work()
    }
    try {
      this.#script.runInContext(this.#context, { timeout: MOST_MS })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      throw new Error('the pattern takes too long: use a simpler one')
    }
    return result as T
  }
}

export interface SizeLimits {
  /** Most entries of all lists and objects together. */
  entries?: number
  /** Most levels of nested lists and objects. */
  depth: number
}

/** Returns the first limit that a value parsed from JSON exceeds. */
export function passedLimit(
  value: unknown,
  { entries = Number.POSITIVE_INFINITY, depth }: SizeLimits,
): 'entries' | 'depth' | undefined {
  let left = entries
  let level = [value].filter(isHolder)
  for (let deep = 1; level.length > 0; deep++) {
    if (deep > depth) return 'depth'
    const next: Record<string, unknown>[] = []
    // For an object with many names, Object.values takes twice as long.
    for (const holder of level)
      for (const key in holder) {
        if (--left < 0) return 'entries'
        const entry = holder[key]
        if (isHolder(entry)) next.push(entry)
      }
    level = next
  }
  return undefined
}

const isHolder = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

/** Reports whether lists and objects are nested deeper than `most` levels. */
export const isNestedDeeper = (value: unknown, most: number): boolean =>
  passedLimit(value, { depth: most }) !== undefined
