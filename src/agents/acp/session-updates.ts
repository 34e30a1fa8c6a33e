import { type AgentUpdate, type AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { clipped, clippedValue, DIFF_TEXT_BYTES, TOOL_TEXT_BYTES } from '../clipped.ts'
import { modelFailureOf } from '../failure.ts'
import { type JsonObject, object, objects, string } from './json-rpc.ts'
import type { AcpProfile, FileDiff } from './profile.ts'

const open = new Set(['pending', 'running'])
/** Most characters of the last message that are stored to recognise an error text, which is shorter. */
const MESSAGE_CHARACTERS = 8_000

/** Turns `session/update` notifications into updates. */
export class SessionUpdates {
  readonly #profile: AcpProfile
  readonly #update: (update: AgentUpdate) => void
  readonly #denied: ReadonlySet<string>
  readonly #openTools = new Set<string>()
  #retries = 0
  /** Size of the context, if nothing came since it was reported. */
  #size: unknown
  /** Text that is a failure if nothing follows. */
  #held: string | undefined
  /** Whether the agent reported outside of its messages that its thread is broken. */
  #systemError = false
  /** Text of the last message. */
  #lastMessage = ''
  #speaking = false
  #idle = true

  constructor(profile: AcpProfile, denied: ReadonlySet<string>, update: (update: AgentUpdate) => void) {
    this.#profile = profile
    this.#denied = denied
    this.#update = update
  }

  turnBegins(): void {
    this.#retries = 0
    this.#size = undefined
    this.#held = undefined
    this.#systemError = false
    this.#lastMessage = ''
    this.#speaking = false
    this.#idle = true
  }

  /**
   * Returns why a turn failed that the agent ended normally. `modelWrote`: by the token counts, the model wrote
   * something.
   */
  turnEnds(modelWrote: boolean): string | undefined {
    this.#openTools.clear()
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) return held
    if (this.#systemError) return this.#lastMessage || 'The agent reports an error.'
    if (this.#speaking && this.#profile.endsInError?.(this.#lastMessage, modelWrote)) return this.#lastMessage
    return undefined
  }

  /** Whether nothing was said or done in this turn. */
  get idle(): boolean {
    return this.#idle
  }

  /** Reports that the agent calls the model's service again; `text` is the agent's own. */
  retried(text: string): void {
    const attempt = ++this.#retries
    this.#update({ kind: 'retry', failure: modelFailureOf(text), message: text, attempt })
  }

  take(update: JsonObject): void {
    if (update.sessionUpdate === 'usage_update') return void this.#sized(update.used)
    if (update.sessionUpdate !== 'session_info_update') this.#size = undefined
    switch (update.sessionUpdate) {
      case 'agent_message_chunk':
        return void this.#message(string(object(update.content)?.text) ?? '')
      case 'agent_thought_chunk':
        return void this.#thought(string(object(update.content)?.text) ?? '')
      case 'tool_call':
      case 'tool_call_update':
        return void this.#tool(update)
      case 'plan':
        return void this.#plan(update)
      case 'session_info_update':
        return void this.#info(update)
    }
  }

  #message(text: string): void {
    if (text === '') return
    const aside = this.#profile.aside?.(text, { tool: this.#openTools.size > 0 })
    this.#release()
    if (aside === undefined) this.#addText(text)
    else if (aside.type === 'failure') this.#held = aside.text
    else if (aside.type === 'notice') this.#update({ kind: 'notice', text: aside.text })
    else if (aside.type === 'retry') this.retried(aside.text)
  }

  #sized(used: unknown): void {
    const again = this.#profile.sizeBeforeCall && used !== undefined && used === this.#size
    this.#size = used
    if (again) this.retried('The agent repeats the same call of the model service without saying why.')
  }

  #thought(text: string): void {
    this.#release()
    this.#speaking = false
    if (text !== '') this.#update({ kind: 'thought', text })
  }

  #tool(call: JsonObject): void {
    this.#release()
    this.#speaking = false
    this.#idle = false
    const update = toolUpdate(call, this.#profile.diff)
    if (update.status === 'failed' && this.#denied.has(update.tool_id)) update.status = 'denied'
    if (update.status !== undefined) {
      if (open.has(update.status)) this.#openTools.add(update.tool_id)
      else this.#openTools.delete(update.tool_id)
    }
    this.#update(update)
  }

  #plan(plan: JsonObject): void {
    this.#release()
    this.#idle = false
    const entries = objects(plan.entries).map((entry) => {
      const status = entry.status === 'in_progress' || entry.status === 'completed' ? entry.status : 'pending'
      return { text: string(entry.content) ?? '', status } as const
    })
    this.#update({ kind: 'plan', entries })
  }

  #info(update: JsonObject): void {
    for (const vendor of Object.values(object(update._meta) ?? {}))
      if (object(object(vendor)?.threadStatus)?.type === 'systemError') this.#systemError = true
  }

  /** Reports the held text as the model's own, since something followed it. */
  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#addText(held)
  }

  #addText(text: string): void {
    this.#idle = false
    if (!this.#speaking) this.#lastMessage = ''
    this.#speaking = true
    if (this.#lastMessage.length < MESSAGE_CHARACTERS) this.#lastMessage += text
    this.#update({ kind: 'message', text })
  }
}

type ToolUpdate = AgentUpdateOf<'tool'>

const statuses: Record<string, NonNullable<ToolUpdate['status']>> = {
  pending: 'pending',
  in_progress: 'running',
  completed: 'completed',
  failed: 'failed',
  // This status is not part of the protocol.
  denied: 'denied',
}

/** Reads a `tool_call`, a `tool_call_update` or the tool call of a permission request. */
export function toolUpdate(call: JsonObject, diffOf?: AcpProfile['diff']): ToolUpdate {
  const content = objects(call.content)
  const diffs = content.filter((each) => each.type === 'diff').map(fileDiff)
  if (diffs.length === 0) diffs.push(...derivedDiff(call, diffOf))
  const paths = objects(call.locations)
    .map((each) => string(each.path))
    .filter((path) => path !== undefined)
  return present({
    kind: 'tool',
    tool_id: string(call.toolCallId) ?? '',
    title: string(call.title),
    tool_kind: toolKind(call.kind),
    status: statuses[string(call.status) ?? ''],
    input: emptyObject(call.rawInput) ? undefined : clippedValue(call.rawInput),
    output: outputOf(call, content),
    diffs: diffs.length === 0 ? undefined : diffs,
    paths: paths.length === 0 ? undefined : [...new Set(paths)],
  })
}

function toolKind(kind: unknown): ToolKind | undefined {
  if (kind === undefined) return undefined
  return ToolKind.safeParse(kind).data ?? 'other'
}

/** Removes undefined fields, so that a later update does not reset earlier ones. */
export function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T
}

function derivedDiff(call: JsonObject, diffOf: AcpProfile['diff']): FileDiff[] {
  const input = object(call.rawInput)
  const diff = input === undefined || call.kind !== 'edit' ? undefined : diffOf?.(input)
  if (diff === undefined) return []
  return [fileDiff({ path: diff.path, oldText: diff.old_text, newText: diff.new_text })]
}

function fileDiff(diff: JsonObject): FileDiff {
  const text = (value: unknown) => (typeof value === 'string' ? clipped(value, DIFF_TEXT_BYTES) : undefined)
  return present({
    path: string(diff.path) ?? '',
    old_text: text(diff.oldText),
    new_text: text(diff.newText),
    unified: text(diff.unified),
  })
}

/** Returns the readable content of a tool call, or otherwise its raw output. */
function outputOf(call: JsonObject, content: readonly JsonObject[]): string | undefined {
  const texts = content
    .map((each) => (each.type === 'content' ? string(object(each.content)?.text) : undefined))
    .filter((text) => text !== undefined)
  if (texts.length > 0) return clipped(texts.join('\n'), TOOL_TEXT_BYTES)
  const raw = object(call.rawOutput)
  return clippedValue(
    string(raw?.content) ??
      string(raw?.output) ??
      string(raw?.message) ??
      string(raw?.error) ??
      call.rawOutput,
  )
}

function emptyObject(value: unknown): boolean {
  const fields = object(value)
  return fields !== undefined && Object.keys(fields).length === 0
}
