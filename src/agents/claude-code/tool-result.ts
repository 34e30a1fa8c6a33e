import type { AgentUpdateOf } from '../../contract/agent.ts'
import { type JsonObject, object, objects, string } from '../acp/json-shape.ts'
import { present } from '../acp/tool-call.ts'
import { clipped, clippedValue, DIFF_TEXT_BYTES } from '../clipped.ts'

type Tool = AgentUpdateOf<'tool'>
type FileDiff = NonNullable<Tool['diffs']>[number]

/** The tools that a `user` line tells the results of. */
export function toolResults(line: JsonObject): Tool[] {
  const blocks = objects(object(line.message)?.content).filter(({ type }) => type === 'tool_result')
  const metas = new Map(objects(line.tool_result_meta).map((meta) => [string(meta.id), meta]))
  return blocks.map((block) => {
    const id = string(block.tool_use_id) ?? ''
    const failed = block.is_error === true
    const status = failed ? (refused(metas.get(id)) ? 'denied' : 'failed') : 'completed'
    // It belongs to all blocks of the line, so it says whose it is only where there is one.
    const detail = blocks.length === 1 && !failed ? object(line.tool_use_result) : undefined
    const diff = detail === undefined ? undefined : fileDiff(detail)
    return present({
      kind: 'tool',
      tool_id: id,
      status,
      output: clippedValue(contentText(block.content)),
      diffs: diff === undefined ? undefined : [diff],
    })
  })
}

function refused(meta: JsonObject | undefined): boolean {
  return (
    object(meta?.permission_decision)?.decision === 'reject' || meta?.non_execution_kind === 'permission-rule'
  )
}

function contentText(content: unknown): string | undefined {
  if (typeof content === 'string') return content
  const parts = objects(content).map(({ type, text }) => string(text) ?? `(${string(type) ?? 'unknown'})`)
  return parts.length === 0 ? undefined : parts.join('\n')
}

/** Of `Write` and `Edit`: the whole texts where they are small, else the patch. */
function fileDiff(result: JsonObject): FileDiff | undefined {
  const path = string(result.filePath)
  if (path === undefined || result.structuredPatch === undefined) return undefined
  const content = string(result.content)
  const old = string(result.originalFile)
  if (content !== undefined && old === undefined) return { path, new_text: clipped(content, DIFF_TEXT_BYTES) }
  const unified = objects(result.structuredPatch).map(hunk).join('')
  return unified === '' ? undefined : { path, unified: clipped(unified, DIFF_TEXT_BYTES) }
}

function hunk({ oldStart, oldLines, newStart, newLines, lines }: JsonObject): string {
  const texts = Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : []
  return `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@\n${texts.map((line) => `${line}\n`).join('')}`
}
