import type { FileDiff } from '../../../contract/agent.ts'
import { clipped, DIFF_TEXT_BYTES } from '../../clipped.ts'

const CONTEXT_LINES = 3

/** A change of a whole file as people are shown it. `before` undefined: the file is new. */
export function fileChange(path: string, before: string | undefined, after: string): FileDiff {
  const fits = (text: string) => Buffer.byteLength(text) <= DIFF_TEXT_BYTES
  if (fits(before ?? '') && fits(after)) return { path, old_text: before, new_text: after }
  return { path, unified: clipped(hunk(before ?? '', after), DIFF_TEXT_BYTES) }
}

/** All between the first and the last line that differ, as one hunk: exact, if not the shortest. */
function hunk(before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')]
  const shorter = Math.min(old.length, now.length)
  let head = 0
  while (head < shorter && old[head] === now[head]) head++
  let tail = 0
  while (tail < shorter - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail++
  const from = Math.max(0, head - CONTEXT_LINES)
  const kept = Math.min(tail, CONTEXT_LINES)
  const counts = (lines: string[]) => `${from + 1},${lines.length - tail + kept - from}`
  const marked = (mark: string, lines: string[]) => lines.map((line) => mark + line)
  return [
    `@@ -${counts(old)} +${counts(now)} @@`,
    ...marked(' ', old.slice(from, head)),
    ...marked('-', old.slice(head, old.length - tail)),
    ...marked('+', now.slice(head, now.length - tail)),
    ...marked(' ', old.slice(old.length - tail, old.length - tail + kept)),
  ].join('\n')
}
