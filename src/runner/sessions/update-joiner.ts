import type { AgentUpdate } from '../../contract/agent.ts'
import type { Told } from './update-teller.ts'

/** About ten updates a second of what comes in small pieces. */
const JOIN_MS = 100
const MAX_JOINED_CHARACTERS = 20_000

interface Pending {
  item: Told
  /** The number of the last item that is in it. */
  last: number
}

/** Joins the pieces of a message, and the states of a tool, to fewer and larger updates; all else passes at once. */
export class UpdateJoiner {
  readonly #emit: (item: Told, last: number) => void
  #pending: Pending | undefined
  #emittedAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(emit: (item: Told, last: number) => void) {
    this.#emit = emit
  }

  /** Items are numbered from 1. */
  add(item: Told, number: number): void {
    const joined = this.#pending && join(this.#pending.item, item)
    if (joined) this.#pending = { item: joined, last: number }
    else {
      this.flush()
      this.#pending = { item, last: number }
    }
    if (!mayWait(item) || performance.now() - this.#emittedAtMs >= JOIN_MS) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), JOIN_MS)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const pending = this.#pending
    if (!pending) return
    this.#pending = undefined
    this.#emittedAtMs = performance.now()
    this.#emit(pending.item, pending.last)
  }
}

function mayWait(item: Told): boolean {
  if (item.type !== 'update') return false
  const { update } = item
  if (update.kind === 'tool') return update.status === 'running' || update.status === undefined
  return update.kind === 'message' || update.kind === 'thought'
}

function join(a: Told, b: Told): Told | undefined {
  if (a.type !== 'update' || b.type !== 'update') return undefined
  const update = joinUpdates(a.update, b.update)
  return update && { type: 'update', update }
}

function joinUpdates(a: AgentUpdate, b: AgentUpdate): AgentUpdate | undefined {
  if ((a.kind === 'message' && b.kind === 'message') || (a.kind === 'thought' && b.kind === 'thought'))
    return a.text.length + b.text.length > MAX_JOINED_CHARACTERS ? undefined : { ...a, text: a.text + b.text }
  if (a.kind === 'tool' && b.kind === 'tool' && a.tool_id === b.tool_id) {
    const given = Object.entries(b).filter(([, value]) => value !== undefined)
    return { ...a, ...Object.fromEntries(given) }
  }
  return undefined
}
