import { dirname } from 'node:path'
import * as z from 'zod'
import type { FileDiff } from '../../../contract/agent.ts'
import { makeFolder, writeFileAtomic } from '../../../platform/files.ts'
import { clipped, DIFF_TEXT_BYTES } from '../../clipped.ts'
import { readText, readTextIfThere } from './read-file.ts'
import { defineTool, ToolError } from './tool.ts'

const EditArgs = z.object({
  path: z.string().min(1),
  old_text: z.string().min(1).describe('Exactly as in the file, with enough context to occur only once'),
  new_text: z.string(),
})

export const editFile = defineTool({
  name: 'edit_file',
  kind: 'edit',
  description: 'Replaces one piece of a text file with another.',
  args: EditArgs,
  title: ({ path }) => `Edit ${path}`,
  paths: ({ path }) => [path],
  async run({ path, old_text, new_text }, { paths }) {
    const real = paths[0]!
    const read = await readText(real)
    if (read.type !== 'text')
      throw new ToolError(
        `${path} is ${read.type.replace('_', ' ')} (${read.bytes} bytes) and cannot be edited.`,
      )
    const after = replaceOnce(path, read.text, old_text, new_text)
    writeFileAtomic(real, after, { mode: read.mode & 0o7777, durable: false })
    return { output: `Edited ${path}.`, diffs: [fileChange(real, read.text, after)] }
  },
})

function replaceOnce(path: string, text: string, old: string, replacement: string): string {
  if (old === replacement) throw new ToolError('old_text and new_text are the same.')
  const parts = text.split(old)
  if (parts.length === 2) return parts.join(replacement)
  if (parts.length > 2)
    throw new ToolError(
      `old_text occurs ${parts.length - 1} times in ${path}. Include more of the text around it.`,
    )
  // Models write \n even if the file has \r\n.
  const [crlf, crlfReplacement] = [old, replacement].map((each) => each.replace(/\r?\n/g, '\r\n'))
  if (crlf !== old && text.includes(crlf!)) return replaceOnce(path, text, crlf!, crlfReplacement!)
  throw new ToolError(`old_text is not in ${path}. Read the file again; white space and line endings matter.`)
}

const CONTEXT_LINES = 3

/** Returns a change of a whole file for display; `before` is undefined if the file is new. */
function fileChange(path: string, before: string | undefined, after: string): FileDiff {
  const fits = (text: string) => Buffer.byteLength(text) <= DIFF_TEXT_BYTES
  if (fits(before ?? '') && fits(after)) return { path, old_text: before, new_text: after }
  return { path, unified: clipped(hunk(before ?? '', after), DIFF_TEXT_BYTES) }
}

/**
 * Returns everything between the first and the last differing line as one hunk, which is exact but not the shortest.
 */
function hunk(before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')]
  const shorter = Math.min(old.length, now.length)
  let head = 0
  while (head < shorter && old[head] === now[head]) head++
  let tail = 0
  while (tail < shorter - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail++
  const from = Math.max(0, head - CONTEXT_LINES)
  const contextLines = Math.min(tail, CONTEXT_LINES)
  const counts = (lines: string[]) => `${from + 1},${lines.length - tail + contextLines - from}`
  const marked = (mark: string, lines: string[]) => lines.map((line) => mark + line)
  return [
    `@@ -${counts(old)} +${counts(now)} @@`,
    ...marked(' ', old.slice(from, head)),
    ...marked('-', old.slice(head, old.length - tail)),
    ...marked('+', now.slice(head, now.length - tail)),
    ...marked(' ', old.slice(old.length - tail, old.length - tail + contextLines)),
  ].join('\n')
}

const WriteArgs = z.object({ path: z.string().min(1), content: z.string() })

export const writeFile = defineTool({
  name: 'write_file',
  kind: 'edit',
  description: 'Writes a whole file and creates missing folders. Existing content is replaced.',
  args: WriteArgs,
  title: ({ path }) => `Write ${path}`,
  paths: ({ path }) => [path],
  async run({ content }, { paths }) {
    const path = paths[0]!
    const before = await readTextIfThere(path)
    await makeFolder(dirname(path))
    writeFileAtomic(path, content, { mode: before && before.mode & 0o7777, durable: false })
    const diff =
      before === undefined || before.type === 'text'
        ? fileChange(path, before?.text, content)
        : { path, unified: `replaced ${before.bytes} bytes (${before.type.replace('_', ' ')})` }
    return { output: `${before === undefined ? 'Created' : 'Replaced'} ${path}.`, diffs: [diff] }
  },
})
