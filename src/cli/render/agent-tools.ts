import type { AgentUpdateOf } from '../../contract/agent.ts'
import { titleText } from './agent-title.ts'

interface Call {
  title?: string
  kind?: string
  paths?: readonly string[]
  diffs: NonNullable<AgentUpdateOf<'tool'>['diffs']>
  shown: boolean
}

export interface Followed {
  /** What it is about to do, the first time that this is known. */
  label?: string
  ended?: {
    label: string
    status: 'completed' | 'failed' | 'denied'
    diffs: Call['diffs']
    /** What it says of its failure. */
    why?: string
  }
}

/** Puts together what is told of a tool call piece by piece. */
export class AgentTools {
  readonly #calls = new Map<string, Call>()
  /** One that was denied is told to have failed as well. */
  readonly #ended = new Set<string>()

  follow({ tool_id, title, tool_kind, status, diffs, paths, output }: AgentUpdateOf<'tool'>): Followed {
    if (this.#ended.has(tool_id)) return {}
    const call: Call = this.#calls.get(tool_id) ?? { diffs: [], shown: false }
    this.#calls.set(tool_id, call)
    call.title = title ?? call.title
    call.kind = tool_kind ?? call.kind
    call.paths = paths ?? call.paths
    // The last that is told of a change is the whole of it.
    if (diffs !== undefined) call.diffs = diffs
    const label = labelOf(call, tool_id)
    if (status === 'completed' || status === 'failed' || status === 'denied') {
      this.#calls.delete(tool_id)
      this.#ended.add(tool_id)
      const why = status === 'completed' ? undefined : output?.trim()
      return { ended: { label, status, diffs: call.diffs, ...(why ? { why } : {}) } }
    }
    if (call.shown) return {}
    call.shown = true
    return { label }
  }
}

function labelOf({ title, kind, paths = [] }: Call, id: string): string {
  const what = titleText(title, kind) ?? id
  const where = paths.filter((path) => !what.includes(path) && !what.includes(path.split('/').at(-1)!))
  return [what, ...where.slice(0, 2)].join('  ')
}
