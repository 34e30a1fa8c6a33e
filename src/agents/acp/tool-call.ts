import { type AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { clipped, clippedValue, DIFF_TEXT_BYTES, TOOL_TEXT_BYTES } from '../clipped.ts'
import { type JsonObject, object, objects, string } from './json-shape.ts'
import type { AcpProfile, FileDiff } from './profile.ts'

type ToolUpdate = AgentUpdateOf<'tool'>

const statuses: Record<string, NonNullable<ToolUpdate['status']>> = {
  pending: 'pending',
  in_progress: 'running',
  completed: 'completed',
  failed: 'failed',
  // None of the protocol's.
  denied: 'denied',
}

/** What a `tool_call`, a `tool_call_update` or the tool call of a permission request says. */
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

/** Absent rather than undefined, so that a later update takes nothing back. */
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

/** The readable content, else what the tool gave back. */
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
  const given = object(value)
  return given !== undefined && Object.keys(given).length === 0
}
