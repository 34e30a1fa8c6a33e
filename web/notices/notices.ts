import type { NoticeKind, Told } from '../parts/tell.ts'

/** What a person is told of, in toasts and in the list of notices; kept in the browser, for each person apart. */

export interface Notice extends Told {
  /** The same thing told twice, as by two tabs, is one notice. */
  id: string
  atMs: number
  seen?: boolean
}

/** Notices that are kept. */
const MOST = 100

const kinds: readonly string[] = ['done', 'failed', 'asks', 'ended'] satisfies NoticeKind[]

function isNotice(value: unknown): value is Notice {
  const { id, kind, text, hint, to, atMs } = (value ?? {}) as Record<string, unknown>
  const isText = (one: unknown) => one === undefined || typeof one === 'string'
  return (
    typeof id === 'string' &&
    kinds.includes(kind as string) &&
    typeof text === 'string' &&
    isText(hint) &&
    (to === undefined || (typeof to === 'string' && /^\/(?![/\\])/.test(to))) &&
    typeof atMs === 'number'
  )
}

/** The notices in a text that was kept; none of what is not one. */
export function readNotices(text: string | null): Notice[] {
  try {
    const kept: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(kept) ? kept.filter(isNotice).slice(0, MOST) : []
  } catch {
    return []
  }
}

/** The list with a notice before the others. Undefined: it is there already. */
export function withNotice(list: readonly Notice[], notice: Notice): Notice[] | undefined {
  if (list.some(({ id }) => id === notice.id)) return undefined
  return [notice, ...list].slice(0, MOST)
}

const MOST_TOASTS = 3

/** The toasts with one more: of more than three the oldest goes, one of an error last. */
export function withToast(toasts: readonly Notice[], notice: Notice): Notice[] {
  const all = [...toasts, notice]
  if (all.length <= MOST_TOASTS) return all
  const out = all.find(({ kind }) => kind !== 'failed') ?? all[0]!
  return all.filter((one) => one !== out)
}

/** Whose notices they are. */
interface Person {
  tenant: string
  name: string
}

const keyOf = ({ tenant, name }: Person) => `errand.notices.${tenant}/${name}`

/** Takes away all that is kept for a person, as at a log-out. */
export function forgetNotices(person: Person): void {
  try {
    localStorage.removeItem(keyOf(person))
  } catch {
    // Nothing is kept then.
  }
}

/** The notices of one person in this browser, the same in all its tabs. */
export class Notices {
  readonly #key: string
  readonly #watchers = new Set<() => void>()
  /** Told in this tab, or before it. */
  readonly #told: Set<string>
  list: readonly Notice[]
  toasts: readonly Notice[] = []

  constructor(person: Person) {
    this.#key = keyOf(person)
    this.list = this.#read()
    this.#told = new Set(this.list.map(({ id }) => id))
  }

  #read(): Notice[] {
    try {
      return readNotices(localStorage.getItem(this.#key))
    } catch {
      return []
    }
  }
  #keep(list: readonly Notice[]): void {
    this.list = list
    try {
      localStorage.setItem(this.#key, JSON.stringify(list))
    } catch {
      // It lives as long as the page.
    }
    this.#changed()
  }
  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }

  /** Keeps a notice; `shown`: what it tells of is on the screen, so there is no toast of it. */
  add(notice: Notice, shown = false): void {
    if (this.#told.has(notice.id)) return
    this.#told.add(notice.id)
    // A tab that nobody looks at shows none: whoever comes back finds it in the list.
    if (!shown && !document.hidden) this.toasts = withToast(this.toasts, notice)
    // Another tab may have kept it meanwhile.
    const list = this.#read()
    const before = list.length > 0 ? list : this.list
    this.#keep(withNotice(before, shown ? { ...notice, seen: true } : notice) ?? before)
  }
  dismiss(id: string): void {
    this.toasts = this.toasts.filter((one) => one.id !== id)
    this.#changed()
  }
  /** The toast goes, and its notice counts as seen. */
  see(id: string): void {
    this.dismiss(id)
    this.#keep(this.list.map((one) => (one.id === id ? { ...one, seen: true } : one)))
  }
  markSeen(): void {
    if (this.list.some(({ seen }) => !seen)) this.#keep(this.list.map((one) => ({ ...one, seen: true })))
  }
  clear(): void {
    this.toasts = []
    this.#keep([])
  }
  get unseen(): number {
    return this.list.filter(({ seen }) => !seen).length
  }
  readonly #other = ({ key }: StorageEvent) => {
    if (key !== this.#key) return
    this.list = this.#read()
    this.#changed()
  }
  watch = (call: () => void): (() => void) => {
    if (this.#watchers.size === 0) addEventListener('storage', this.#other)
    this.#watchers.add(call)
    return () => {
      this.#watchers.delete(call)
      if (this.#watchers.size === 0) removeEventListener('storage', this.#other)
    }
  }
}
