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
} from './places.ts'

/** The addresses of the page with what each keeps beside its path; its table of pages says which there are. */
// biome-ignore lint/suspicious/noEmptyInterface: router.tsx fills it
export interface Addresses {}
export type Path = keyof Addresses

/** A page of the table. */
export interface Page {
  path: string
  /** What it takes of an address. */
  search?: (given: Search) => object
  /** Where it leads instead. */
  leads?: string
  /** Is there without a login. */
  outside?: boolean
  component?: ComponentType
  load?: () => Promise<ComponentType>
}

/** Where the page is, once all is there that it takes to show it. */
export interface Place extends Address {
  /** Absent where there is no such page. */
  page: Page | undefined
  params: Readonly<Record<string, string>>
  /** What the address says beside its path, as the page takes it. */
  found: object
  /** Why it cannot be shown. */
  failure?: unknown
}

/** What is asked before a page is left that has something to lose. */
export interface Leaving {
  go(): void
  stay(): void
}

/** Answers where to go instead, or waits for what it has to know. */
type Guard = (page: Page | undefined, href: string) => Promise<string | undefined> | undefined

interface HistoryState {
  /** How many addresses lie behind it. */
  at: number
}

/** The addresses that the page goes through: the browser's history below the hub's base path, and the pages of a table. */
class Navigation {
  #pages: readonly Page[] = []
  #guard: Guard = () => undefined
  readonly #watchers = new Set<() => void>()
  readonly #components = new Map<Page, ComponentType>()
  #at = 0
  /** Counts arrivals: of several only the last counts. */
  #arrivals = 0
  #ask: ((leaving: Leaving) => void) | undefined
  /** Somebody was asked and let go. */
  #isFree = false
  /** The history goes back to the page that somebody may not want to leave. */
  #isPutBack = false
  place: Place | undefined

  /** Shows the page that the browser is at, and those that it goes to. */
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
  /** Goes to an address below the hub's base path; is done when its page is there. */
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
    // Without one it is the browser's own, of a fragment that was typed.
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
  /** Shows the page of the address, once more where it is there. */
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
  /** Fetches a page's code; nothing where it is there. */
  load(page: Page | undefined): Promise<void> | undefined {
    if (page?.load === undefined || this.#components.has(page)) return undefined
    return page.load().then((component) => void this.#components.set(page, component))
  }
  /** Fetches the code of the page of an address before somebody goes there. */
  fetch(path: string): void {
    const page = this.#pages.find((one) => paramsOf(one.path, path) !== undefined)
    this.load(page)?.catch(() => undefined)
  }
  componentOf(page: Page): ComponentType | undefined {
    return page.component ?? this.#components.get(page)
  }
  /** Has somebody asked before another address is gone to; answers how to end that. */
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

export const usePlace = (): Place | undefined =>
  useSyncExternalStore(navigation.watch, () => navigation.place)
/** What an address says beside its path, of the page that is there. */
export const useSearch = <P extends Path>(_path: P): Addresses[P] =>
  useSyncExternalStore(navigation.watch, () => navigation.place?.found ?? none) as Addresses[P]
const none = {}
/** A name out of the path of the page that is there. */
export const useParam = (name: string): string =>
  useSyncExternalStore(navigation.watch, () => navigation.place?.params[name] ?? '')
export const usePath = (): string => useSyncExternalStore(navigation.watch, () => here().path)
export const useHash = (): string => useSyncExternalStore(navigation.watch, () => here().hash)

/** An address to go to; without `to` that of the page that is there, with what is told anew. */
export interface Goal<To extends Path, From extends Path> {
  to?: To
  params?: Readonly<Record<string, string>>
  search?: Addresses[To] | ((was: Addresses[From]) => Addresses[To])
  hash?: string | ((was: string) => string)
  replace?: boolean
}

function hrefTo<To extends Path, From extends Path>({ to, params, search = {}, hash = '' }: Goal<To, From>) {
  const was = (navigation.place?.found ?? none) as Addresses[From]
  const given = typeof search === 'function' ? (search as (was: Addresses[From]) => object)(was) : search
  const path = to === undefined ? here().path : fillPath(to, params)
  return hrefOf(path, given, typeof hash === 'function' ? hash(here().hash) : hash)
}

/** Goes to an address, as a function that stays the same. `from` says which page's search is changed. */
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
    /** Added where the page is at this address, or below it. */
    hereClass?: string
    /** Whether it is, where the address alone does not say it. */
    isHere?: boolean
  }

/** A link to a page; its code is fetched once somebody is about to go there. */
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

/** Asks before the page is left for another address or reloaded, while it has something to lose. */
export function useLeaving(isAsked: boolean): Leaving | undefined {
  const [leaving, setLeaving] = useState<Leaving>()
  useEffect(() => {
    if (!isAsked) return
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
  }, [isAsked])
  return leaving
}
