import { type Context, createContext, Script } from 'node:vm'

/** A place in a glob: one character that fits leads to the next place; or others, which it leads to without any. */
type Place = { fits(character: string): boolean } | { to: number[] }

export interface PathGlob {
  test(path: string): boolean
}

/**
 * A glob for whole paths: `*` and `?` within one name, `**` over folders, `[…]`, `{a,b}`. Names that begin with a dot are
 * names like others. A glob that ends with `/` is all below that folder. Throws for a set such as `[z-a]`. Strangers write
 * globs and paths: as a regular expression a few `*` could take hours, this takes the product of both lengths at most.
 */
export function globPattern(glob: string): PathGlob {
  const places = placesOf(glob.endsWith('/') ? `${glob}**` : glob)
  return { test: (path) => leadsToEnd(places, path) }
}

function placesOf(glob: string): Place[] {
  const places: Place[] = []
  const braces: { starts: number[]; ends: { to: number[] }[] }[] = []
  /** Lets the places within come any number of times. */
  const repeated = (...within: Place[]): void => {
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
      // A folder's name, of one character at least.
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

const inName: Place = { fits: (character) => character !== '/' }

const exactly = (wanted: string): Place => ({ fits: (character) => character === wanted })

function oneOf(isNot: boolean, characters: string): Place {
  const set = new RegExp(`^[${isNot ? '^/' : ''}${characters.replace(/[\\^[\]&~|]/g, '\\$&')}]$`, 'su')
  return { fits: (character) => set.test(character) }
}

/** Goes through the path once, at all the places at which it may be. */
function leadsToEnd(places: readonly Place[], path: string): boolean {
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

/** For what it guards nothing else of the process goes on. */
const MOST_MS = 500

/** Runs synchronous work with patterns of a stranger's making, of which some would never end. */
export class TimeGuard {
  #work: () => void = () => {}
  readonly #script = new Script('work()')
  readonly #context: Context = createContext({ work: () => this.#work() })

  /** Throws what the work throws, and an Error of its own where that takes too long. */
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
  /** Of all lists and objects together. */
  entries?: number
  /** Lists and objects in one another. */
  depth: number
}

/** Returns which limit a value that was JSON passes, the first that is met. */
export function passedLimit(
  value: unknown,
  { entries = Number.POSITIVE_INFINITY, depth }: SizeLimits,
): 'entries' | 'depth' | undefined {
  let left = entries
  let level = [value].filter(isHolder)
  for (let deep = 1; level.length > 0; deep++) {
    if (deep > depth) return 'depth'
    const next: Record<string, unknown>[] = []
    // Of an object with many names, Object.values takes twice as long.
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

/** Whether lists and objects stand more than so deep in one another. */
export const isNestedDeeper = (value: unknown, most: number): boolean =>
  passedLimit(value, { depth: most }) !== undefined
