import type { AgentUpdateOf, DeniedUse, DeniedUses } from '../../contract/agent.ts'
import type { AgentPlan } from '../ports.ts'

/** How many uses are told one by one. */
const MOST_TOLD = 20
/** And how many of them stand in a message. */
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

/** The uses of tools that a session was denied, each once, and whether the session has failed by them. */
export class Denials {
  readonly #plan: Pick<AgentPlan, 'permissions' | 'fail_on_denied'>
  readonly #first: DeniedUse[] = []
  #count = 0
  /** Of what was asked for last: who denied, and whether any use went through. */
  #asked = new Set<DeniedUse['by']>()
  #through = false
  /** Of this turn, for another may use the same ids. */
  #titles = new Map<string, Pick<DeniedUse, 'title' | 'tool_kind'>>()
  #ended = new Set<string>()
  #denied = new Set<string>()

  constructor(plan: Pick<AgentPlan, 'permissions' | 'fail_on_denied'>) {
    this.#plan = plan
  }

  /** Undefined: none was denied. */
  get told(): DeniedUses | undefined {
    return this.#count === 0 ? undefined : { count: this.#count, first: [...this.#first] }
  }

  /** In a sentence. Undefined: none was denied. */
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
   * Why a session whose agent says that it is done has failed all the same. Where the step does not say, that is so if
   * nobody was there to be asked, or if nothing at all went through; what a person denied, that person knows.
   */
  get failure(): string | undefined {
    const { fail_on_denied } = this.#plan
    if (this.#asked.size === 0 || fail_on_denied === false) return undefined
    const unasked = this.#asked.has('nobody') || this.#asked.has('timeout')
    const ofPerson = this.#asked.size === 1 && this.#asked.has('person')
    const nothing = !this.#through && this.#ended.size === 0 && !ofPerson
    if (!(fail_on_denied ?? (unasked || nothing))) return undefined
    return `The agent says that it is done, but ${this.summary} With fail_on_denied: false this does not fail it.`
  }

  /** Something new is asked for: what was denied before is told, but fails it no more. */
  promptGiven(): void {
    this.#asked.clear()
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
    // To think is no use of anything.
    else if (
      (status === 'completed' || status === 'failed') &&
      use.tool_kind !== 'think' &&
      !this.#denied.has(tool_id)
    )
      this.#ended.add(tool_id)
  }

  /** A question was answered no. */
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
    // Some tell a use that was denied as one that has failed.
    this.#ended.delete(id)
    if (this.#denied.has(id)) return
    this.#denied.add(id)
    this.#count++
    this.#asked.add(by)
    if (this.#first.length >= MOST_TOLD) return
    this.#first.push({
      title: title.slice(0, 500),
      by,
      ...(tool_kind === undefined ? {} : { tool_kind }),
      ...(rule === undefined ? {} : { rule }),
    })
  }
}
