import type { NoticeKind, ToastMessage } from '../parts/toast.ts'

/**
 * Stores the notices for a person, which appear in toasts and in a list. Each person in a browser has a list of their
 * own.
 */

export interface Notice extends ToastMessage {
  /** Makes a notice that is sent twice, for example by two tabs, one notice. */
  id: string
  atMs: number
  seen?: boolean
}

/** Maximum number of stored notices. */
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

/** Parses stored notices and drops invalid ones. */
export function readNotices(text: string | null): Notice[] {
  try {
    const stored: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(stored) ? stored.filter(isNotice).slice(0, MOST) : []
  } catch {
    return []
  }
}

/** Returns the list with a notice in front, or undefined if the list already has it. */
export function withNotice(list: readonly Notice[], notice: Notice): Notice[] | undefined {
  if (list.some(({ id }) => id === notice.id)) return undefined
  return [notice, ...list].slice(0, MOST)
}

const MOST_TOASTS = 3

/** Returns the toasts with one more. Beyond three, the oldest is dropped; errors are dropped last. */
export function withToast(toasts: readonly Notice[], notice: Notice): Notice[] {
  const all = [...toasts, notice]
  if (all.length <= MOST_TOASTS) return all
  const out = all.find(({ kind }) => kind !== 'failed') ?? all[0]!
  return all.filter((one) => one !== out)
}

/** The person that the notices are for. */
interface Person {
  tenant: string
  name: string
}

const keyOf = ({ tenant, name }: Person) => `errand.notices.${tenant}/${name}`

/** Removes all notices stored for a person, for example at a logout. */
export function forgetNotices(person: Person): void {
  try {
    localStorage.removeItem(keyOf(person))
  } catch {
    // The browser stores nothing.
  }
}

/** Holds the notices of one person in this browser, the same in all tabs. */
export class Notices {
  readonly #key: string
  readonly #watchers = new Set<() => void>()
  /** Ids of notices sent in this tab, or stored before it opened. */
  readonly #shown: Set<string>
  list: readonly Notice[]
  toasts: readonly Notice[] = []

  constructor(person: Person) {
    this.#key = keyOf(person)
    this.list = this.#read()
    this.#shown = new Set(this.list.map(({ id }) => id))
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
      // The list lives as long as the page.
    }
    this.#changed()
  }
  #changed(): void {
    for (const watcher of this.#watchers) watcher()
  }

  /** Stores a notice; if its subject is `shown` on the screen, there is no toast. */
  add(notice: Notice, shown = false): void {
    if (this.#shown.has(notice.id)) return
    this.#shown.add(notice.id)
    // A hidden tab shows no toast: the person finds the notice in the list later.
    if (!shown && !document.hidden) this.toasts = withToast(this.toasts, notice)
    // Another tab may have stored it meanwhile.
    const list = this.#read()
    const before = list.length > 0 ? list : this.list
    this.#keep(withNotice(before, shown ? { ...notice, seen: true } : notice) ?? before)
  }
  dismiss(id: string): void {
    this.toasts = this.toasts.filter((one) => one.id !== id)
    this.#changed()
  }
  /** Removes the toast and marks its notice as seen. */
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
