import type { AgentUpdateOf, DeniedUse, DeniedUses } from '../../contract/agent.ts'
import type { AgentPlan } from '../ports.ts'

/** Limit for uses that are reported one by one. */
const MAX_REPORTED = 20
/** Limit for uses that a message names. */
const MOST_IN_MESSAGE = 3

type Answer = Pick<AgentUpdateOf<'permission_answered'>, 'by' | 'rule'>

const words: Record<DeniedUse['by'], string> = {
  person: 'by a person',
  rule: 'by a rule',
  policy: 'permissions: deny',
  timeout: 'nobody answered in time',
  nobody: 'nobody could be asked',
  agent: 'by the agent itself',
}

/**
 * Collects the uses of tools that a session was denied, each once, and decides whether the session has failed by them.
 */
export class Denials {
  readonly #plan: Pick<AgentPlan, 'permissions' | 'fail_on_denied'>
  readonly #first: DeniedUse[] = []
  #count = 0
  /** Deniers since the last request; `#through` is set if any use went through. */
  #deciders = new Set<DeniedUse['by']>()
  #through = false
  /** Titles of this turn only, since another turn may use the same ids. */
  #titles = new Map<string, Pick<DeniedUse, 'title' | 'tool_kind'>>()
  #ended = new Set<string>()
  #denied = new Set<string>()

  constructor(plan: Pick<AgentPlan, 'permissions' | 'fail_on_denied'>) {
    this.#plan = plan
  }

  /** Denied uses; undefined if there are none. */
  get deniedUses(): DeniedUses | undefined {
    return this.#count === 0 ? undefined : { count: this.#count, first: [...this.#first] }
  }

  /** Sentence about the denied uses; undefined if there are none. */
  get summary(): string | undefined {
    if (this.#count === 0) return undefined
    const named = this.#first.slice(0, MOST_IN_MESSAGE).map(({ title, by, rule }) => {
      return `${title.split('\n', 1)[0]!.slice(0, 200)} (${rule === undefined ? words[by] : `by ${rule}`})`
    })
    const more = this.#count - named.length
    const uses = this.#count === 1 ? '1 use of a tool was' : `${this.#count} uses of tools were`
    return `${uses} denied: ${named.join(', ')}${more > 0 ? `, and ${more} more` : ''}.`
  }

  /**
   * Text that says why a session has failed although its agent says that it is done. Unless the step decides this, it
   * fails if nobody was there to be asked, or if no use went through; a person who denied a use knows about it.
   */
  get failure(): string | undefined {
    const { fail_on_denied } = this.#plan
    if (this.#deciders.size === 0 || fail_on_denied === false) return undefined
    const unasked = this.#deciders.has('nobody') || this.#deciders.has('timeout')
    const ofPerson = this.#deciders.size === 1 && this.#deciders.has('person')
    const nothing = !this.#through && this.#ended.size === 0 && !ofPerson
    if (!(fail_on_denied ?? (unasked || nothing))) return undefined
    return `The agent says that it is done, but ${this.summary} With fail_on_denied: false, this does not fail the step.`
  }

  /** Starts a new request: earlier denials are still reported, but do not fail the session any more. */
  startTurn(): void {
    this.#deciders.clear()
    this.#through = false
  }

  turnBegins(): void {
    this.#through ||= this.#ended.size > 0
    this.#titles.clear()
    this.#ended.clear()
    this.#denied.clear()
  }

  follow({ tool_id, title, tool_kind, status }: AgentUpdateOf<'tool'>): void {
    const known = this.#titles.get(tool_id)
    const use = { title: title ?? known?.title ?? 'a tool', tool_kind: tool_kind ?? known?.tool_kind }
    this.#titles.set(tool_id, use)
    if (status === 'denied')
      this.#add(tool_id, use, this.#plan.permissions.mode === 'deny' ? 'policy' : 'agent')
    // Thinking is not a use of a tool.
    else if (
      (status === 'completed' || status === 'failed') &&
      use.tool_kind !== 'think' &&
      !this.#denied.has(tool_id)
    )
      this.#ended.add(tool_id)
  }

  /** Records a question that was answered with no. */
  answered(
    { request_id, tool_id = '', title, tool_kind }: AgentUpdateOf<'permission'>,
    { by, rule }: Answer,
  ): void {
    if (by === 'canceled') return
    this.#add(tool_id === '' ? `question ${request_id}` : tool_id, { title, tool_kind }, by, rule)
  }

  #add(
    id: string,
    { title, tool_kind }: Pick<DeniedUse, 'title' | 'tool_kind'>,
    by: DeniedUse['by'],
    rule?: string,
  ) {
    // Some agents report a denied use as a failed one.
    this.#ended.delete(id)
    if (this.#denied.has(id)) return
    this.#denied.add(id)
    this.#count++
    this.#deciders.add(by)
    if (this.#first.length >= MAX_REPORTED) return
    this.#first.push({
      title: title.slice(0, 500),
      by,
      ...(tool_kind === undefined ? {} : { tool_kind }),
      ...(rule === undefined ? {} : { rule }),
    })
  }
}
