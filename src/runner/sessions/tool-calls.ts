import type { AgentUpdateOf, ToolKind } from '../../contract/agent.ts'

interface Call {
  kind?: ToolKind
  paths: string[]
  changes: string[]
}

/** The tool calls of an agent: what is known of each while it is open, and which files they changed. */
export class ToolCalls {
  readonly #open = new Map<string, Call>()
  readonly changed = new Set<string>()

  follow(update: AgentUpdateOf<'tool'>): void {
    const call = this.#open.get(update.tool_id) ?? { paths: [], changes: [] }
    call.kind = update.tool_kind ?? call.kind
    if (update.paths) call.paths = update.paths
    if (update.diffs) call.changes = update.diffs.map((diff) => diff.path)
    this.#open.set(update.tool_id, call)
    if (update.status === undefined || update.status === 'pending' || update.status === 'running') return
    this.#open.delete(update.tool_id)
    if (update.status !== 'completed') return
    for (const path of call.changes) this.changed.add(path)
  }

  /** The question with what is known of its tool call beside it. */
  complete(question: AgentUpdateOf<'permission'>): AgentUpdateOf<'permission'> {
    const call = question.tool_id === undefined ? undefined : this.#open.get(question.tool_id)
    if (!call) return question
    const paths = [...new Set([...(question.paths ?? []), ...call.paths, ...call.changes])]
    return {
      ...question,
      tool_kind: question.tool_kind ?? call.kind,
      ...(paths.length > 0 ? { paths } : {}),
    }
  }

  turnEnded(): void {
    this.#open.clear()
  }
}
