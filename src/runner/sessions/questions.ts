import type { AgentUpdateOf, AttemptInput, ToolKind } from '../../contract/agent.ts'
import type { Denials } from './denials.ts'
import { SessionGrants } from './permission-policy.ts'
import type { SessionEvent } from './session-state.ts'
import type { UpdatePipeline } from './update-pipeline.ts'

type Question = AgentUpdateOf<'permission'>
type QuestionEvent = Extract<SessionEvent, { type: 'asked' }>
type Answer = Extract<AttemptInput, { type: 'permission' }>
type Decided = Extract<SessionEvent, { type: 'decided' }>

/**
 * Tracks an agent's permission questions. A question is undecided until a policy decides it or a person is asked, and
 * open until somebody answers, its time is over or the turn ends.
 */
export class Questions {
  readonly #updates: Pick<UpdatePipeline, 'report'>
  readonly #denials: Denials
  readonly #undecided = new Map<string, Question>()
  /** Open questions, with the end of their time. */
  readonly #requested = new Map<string, { question: Question; expiresAt: string }>()
  readonly #grants = new SessionGrants()

  constructor(updates: Pick<UpdatePipeline, 'report'>, denials: Denials) {
    this.#updates = updates
    this.#denials = denials
  }

  get undecided(): readonly Question[] {
    return [...this.#undecided.values()]
  }
  get requested(): readonly { requestId: string; expiresAt: string }[] {
    return [...this.#requested].map(([requestId, { expiresAt }]) => ({ requestId, expiresAt }))
  }
  /** Tells whether it waits for a person. */
  get waits(): boolean {
    return this.#requested.size > 0
  }

  /** Returns who has allowed it for the rest of the session, if anybody. */
  granted(question: Question): string | undefined {
    return this.#grants.allows(question)
  }

  come(question: Question): void {
    this.#undecided.set(question.request_id, question)
  }

  ask({ request_id, expires_at }: QuestionEvent): void {
    const question = this.#undecided.get(request_id)
    if (!question || !this.#undecided.delete(request_id)) return
    this.#requested.set(request_id, { question, expiresAt: expires_at })
    this.#updates.report({ ...question, expires_at })
  }

  /** Decides a question by policy; returns whether the agent still waits for it. */
  decide({ type: _, ...answer }: Decided): boolean {
    const { request_id, decision, by } = answer
    const question = this.#undecided.get(request_id)
    const open = this.#requested.get(request_id)?.question
    if (!this.#undecided.delete(request_id) && !this.#requested.delete(request_id)) return false
    if (decision === 'deny') this.#denials.answered((question ?? open)!, answer)
    // A policy that allows everything leaves no trail.
    const silent = by === 'policy' && decision === 'allow'
    if (question && !silent) this.#updates.report(question)
    if (!silent) this.#updates.report({ kind: 'permission_answered', ...answer })
    return true
  }

  /** Answers a question for a person, or because nobody is there. Returns the question if the agent still waits. */
  answer({ request_id, decision, who, nobody, scope, reason, input }: Answer): Question | undefined {
    const question = this.#requested.get(request_id)?.question
    if (!question) return undefined
    this.#requested.delete(request_id)
    const by = nobody ? 'nobody' : 'person'
    if (decision === 'deny') this.#denials.answered(question, { by })
    if (decision === 'allow' && scope === 'session') this.#grants.add(question, who)
    const answered = { request_id, decision, by, who, scope, reason, input } as const
    this.#updates.report({ kind: 'permission_answered', ...answered })
    return question
  }

  /** Drops the questions when their turn is over. */
  drop(): void {
    for (const request_id of this.#requested.keys())
      this.#updates.report({ kind: 'permission_answered', request_id, decision: 'deny', by: 'canceled' })
    this.#requested.clear()
    this.#undecided.clear()
  }
}

interface Call {
  kind?: ToolKind
  paths: string[]
  changes: string[]
}

/** Tracks the tool calls of an agent: what is known of each open call, and which files they changed. */
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

  /** Returns the question, completed with what is known of its tool call. */
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
