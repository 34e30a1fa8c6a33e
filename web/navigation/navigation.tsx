import {
  type ComponentProps,
  type ComponentType,
  type MouseEvent,
  useCallback,
  useEffect,
  useState,
  useSyncExternalStore,
} from 'react'
import { basePath } from '../data/api.ts'
import {
  type Address,
  addressOf,
  fillPath,
  hrefOf,
  isAt,
  paramsOf,
  parseSearch,
  type Search,
} from './paths.ts'

/** The page's paths and the search values that each accepts; the table of pages declares them. */
// biome-ignore lint/suspicious/noEmptyInterface: router.tsx fills it
export interface Addresses {}
export type Path = keyof Addresses

/** A page of the table. */
export interface Page {
  path: string
  /** Parses the search part of an address. */
  search?: (current: Search) => object
  /** The path to go to instead. */
  leads?: string
  /** The page needs no login. */
  outside?: boolean
  component?: ComponentType
  load?: () => Promise<ComponentType>
}

/** The current page, once everything needed to show it is loaded. */
export interface CurrentPage extends Address {
  /** Absent if there is no such page. */
  page: Page | undefined
  params: Readonly<Record<string, string>>
  /** The search part of the address, as parsed by the page. */
  found: object
  /** The reason why the page cannot be shown. */
  failure?: unknown
}

/** A person's choice before leaving a page with unsaved content. */
export interface Leaving {
  go(): void
  stay(): void
}

/** Returns the address to go to instead, if any; may wait for data first. */
type Guard = (page: Page | undefined, href: string) => Promise<string | undefined> | undefined

interface HistoryState {
  /** Number of addresses before it in the history. */
  at: number
}

/** Moves the page through the browser's history below the hub's base path, and finds the pages of a table. */
class Navigation {
  #pages: readonly Page[] = []
  #guard: Guard = () => undefined
  readonly #watchers = new Set<() => void>()
  readonly #components = new Map<Page, ComponentType>()
  #at = 0
  /** Counts arrivals: only the last of several counts. */
  #arrivals = 0
  #ask: ((leaving: Leaving) => void) | undefined
  /** The person was asked and has agreed to leave. */
  #isFree = false
  /** The history is going back to the page that the person may not want to leave. */
  #isPutBack = false
  place: CurrentPage | undefined

  /** Shows the page at the browser's address, and follows its later addresses. */
  begin(pages: readonly Page[], guard: Guard): void {
    this.#pages = pages
    this.#guard = guard
    this.#at = (history.state as HistoryState | null)?.at ?? 0
    history.replaceState({ at: this.#at } satisfies HistoryState, '')
    addEventListener('popstate', ({ state }) => this.#popped(state as HistoryState | null))
    void this.again()
  }
  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }
  /** Goes to an address below the hub's base path; resolves when its page is shown. */
  async go(href: string, replace = false): Promise<void> {
    if (this.#ask !== undefined && !this.#isFree)
      return this.#ask({ go: () => void this.#freely(() => this.go(href, replace)), stay: () => {} })
    if (!replace) this.#at++
    history[replace ? 'replaceState' : 'pushState'](
      { at: this.#at } satisfies HistoryState,
      '',
      basePath + href,
    )
    await this.again()
  }
  #popped(state: HistoryState | null): void {
    // An entry without a state is the browser's own: a person has typed a fragment.
    const at = state?.at ?? this.#at + 1
    if (state === null) history.replaceState({ at } satisfies HistoryState, '')
    const steps = at - this.#at
    if (this.#isPutBack) {
      this.#isPutBack = false
      return
    }
    if (this.#ask !== undefined && !this.#isFree && steps !== 0) {
      this.#isPutBack = true
      history.go(-steps)
      const go = () => {
        this.#isFree = true
        history.go(steps)
      }
      this.#ask({ go, stay: () => {} })
      return
    }
    this.#isFree = false
    this.#at = at
    void this.again()
  }
  async #freely(call: () => Promise<void>): Promise<void> {
    this.#isFree = true
    try {
      await call()
    } finally {
      this.#isFree = false
    }
  }
  #hereHref(): string {
    const path = location.pathname.startsWith(`${basePath}/`) ? location.pathname.slice(basePath.length) : '/'
    return path + location.search + location.hash
  }
  /** Shows the page of the current address, even if it is already shown. */
  async again(): Promise<void> {
    const arrival = ++this.#arrivals
    const href = this.#hereHref()
    const address = addressOf(href)
    const page = this.#pages.find(({ path }) => paramsOf(path, address.path) !== undefined)
    if (page?.leads !== undefined) return this.go(page.leads, true)
    const show = (failure?: unknown) => {
      if (arrival !== this.#arrivals) return
      const before = this.place
      const isSame = before?.page === page && before?.search === address.search
      const found = isSame ? before!.found : (page?.search?.(parseSearch(address.search)) ?? {})
      const params = (page && paramsOf(page.path, address.path)) ?? {}
      this.place = { ...address, page, params, found, ...(failure === undefined ? {} : { failure }) }
      for (const watcher of this.#watchers) watcher()
    }
    try {
      const guarded = this.#guard(page, href)
      const instead = guarded && (await guarded)
      if (arrival !== this.#arrivals) return
      if (instead !== undefined) return this.#freely(() => this.go(instead, true))
      const loading = this.load(page)
      if (loading !== undefined) await loading
      show()
    } catch (error) {
      show(error)
    }
  }
  /** Fetches a page's code; returns undefined if it is already here. */
  load(page: Page | undefined): Promise<void> | undefined {
    if (page?.load === undefined || this.#components.has(page)) return undefined
    return page.load().then((component) => void this.#components.set(page, component))
  }
  /** Fetches the code of a page before a person goes there. */
  fetch(path: string): void {
    const page = this.#pages.find((one) => paramsOf(one.path, path) !== undefined)
    this.load(page)?.catch(() => undefined)
  }
  componentOf(page: Page): ComponentType | undefined {
    return page.component ?? this.#components.get(page)
  }
  /** Calls `call` before another address is opened. Returns how to end that. */
  ask(call: (leaving: Leaving) => void): () => void {
    this.#ask = call
    return () => {
      if (this.#ask === call) this.#ask = undefined
    }
  }
}

export const navigation = new Navigation()

const noAddress: Address = { path: '/', search: '', hash: '' }
const here = (): Address => navigation.place ?? noAddress

export const useCurrentPage = (): CurrentPage | undefined =>
  useSyncExternalStore(navigation.watch, () => navigation.place)
/** Returns the search values of the current page. */
export const useSearch = <P extends Path>(_path: P): Addresses[P] =>
  useSyncExternalStore(navigation.watch, () => navigation.place?.found ?? none) as Addresses[P]
const none = {}
/** Returns a named part of the current page's path. */
export const useParam = (name: string): string =>
  useSyncExternalStore(navigation.watch, () => navigation.place?.params[name] ?? '')
export const usePath = (): string => useSyncExternalStore(navigation.watch, () => here().path)
export const useHash = (): string => useSyncExternalStore(navigation.watch, () => here().hash)

/** An address to go to. Without `to` it is the current page's address with the given parts changed. */
export interface Goal<To extends Path, From extends Path> {
  to?: To
  params?: Readonly<Record<string, string>>
  search?: Addresses[To] | ((was: Addresses[From]) => Addresses[To])
  hash?: string | ((was: string) => string)
  replace?: boolean
}

function hrefTo<To extends Path, From extends Path>({ to, params, search = {}, hash = '' }: Goal<To, From>) {
  const was = (navigation.place?.found ?? none) as Addresses[From]
  const next = typeof search === 'function' ? (search as (was: Addresses[From]) => object)(was) : search
  const path = to === undefined ? here().path : fillPath(to, params)
  return hrefOf(path, next, typeof hash === 'function' ? hash(here().hash) : hash)
}

/** Returns a stable function that goes to an address. `from` says which page's search is changed. */
export function useNavigate<From extends Path = Path>(_from?: From) {
  return useCallback(
    <To extends Path = From>(goal: Goal<To, From>): Promise<void> =>
      navigation.go(hrefTo(goal), goal.replace),
    [],
  )
}

type LinkProps<To extends Path, From extends Path> = Goal<To, From> &
  Omit<ComponentProps<'a'>, 'href'> & {
    from?: From
    /** Class to add if the page is at this address or below it. */
    hereClass?: string
    /** Overrides whether the link leads to the current page, if the address alone does not tell. */
    isHere?: boolean
  }

/** A link to a page, whose code is fetched when a person is about to go there. */
export function Link<To extends Path = Path, From extends Path = Path>({
  to,
  from: _from,
  params,
  search,
  hash,
  replace,
  hereClass,
  isHere,
  className,
  onClick,
  ...props
}: LinkProps<To, From>) {
  const href = useSyncExternalStore(navigation.watch, () => hrefTo({ to, params, search, hash }))
  const isAtIt = useSyncExternalStore(
    navigation.watch,
    () => isHere ?? (hereClass !== undefined && isAt(here(), addressOf(href))),
  )
  const fetch = () => navigation.fetch(addressOf(href).path)
  const click = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event)
    const { button, metaKey, ctrlKey, shiftKey, altKey, currentTarget } = event
    if (event.defaultPrevented || button !== 0 || metaKey || ctrlKey || shiftKey || altKey) return
    if (currentTarget.target !== '' && currentTarget.target !== '_self') return
    event.preventDefault()
    void navigation.go(href, replace)
  }
  return (
    <a
      onPointerEnter={fetch}
      onFocus={fetch}
      aria-current={isAtIt ? 'page' : undefined}
      {...props}
      href={basePath + href}
      className={isAtIt && hereClass ? `${className} ${hereClass}` : className}
      onClick={click}
    />
  )
}

/** Asks before the page is left for another address or reloaded, as long as `isActive` is true. */
export function useLeaving(isActive: boolean): Leaving | undefined {
  const [leaving, setLeaving] = useState<Leaving>()
  useEffect(() => {
    if (!isActive) return
    const unload = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', unload)
    const end = navigation.ask(({ go, stay }) => {
      const then = (call: () => void) => () => {
        setLeaving(undefined)
        call()
      }
      setLeaving({ go: then(go), stay: then(stay) })
    })
    return () => {
      removeEventListener('beforeunload', unload)
      end()
    }
  }, [isActive])
  return leaving
}
