import { command, UsageError } from '../../command.ts'
import { hubOptions } from '../../option-values.ts'
import { lineText } from '../../render/terminal-text.ts'
import { runsOf } from './runs-artifacts.ts'

export const runsDiff = command({
  summary: 'Show the change that a run made.',
  args: '<id>',
  options: {
    commit: { type: 'string', value: 'N', help: 'Only this commit, counted from 1, as a patch' },
    stat: { type: 'boolean', help: 'Only the files, with their added and removed lines' },
    ...hubOptions,
  },
  examples: ['errand runs diff run_0123', 'errand runs diff run_0123 --stat'],
  async run({ commit, stat, ...hub }, [id]) {
    const number = commitNumber(commit)
    await printDiff(await (await runsOf(hub, id!)).diff(id!, { commit: number }), stat)
    return 0
  },
})

/** Reads `--commit`, the number of a commit from 1. Throws a UsageError. */
export function commitNumber(commit: string | undefined): number | undefined {
  if (commit !== undefined && !/^[1-9]\d{0,5}$/.test(commit))
    throw new UsageError(`--commit is "${commit}"`, 'use the number of a commit, from 1')
  return commit === undefined ? undefined : Number(commit)
}

/** Prints a diff: unchanged for a program, made harmless for a terminal; with `stat` only a summary. */
export async function printDiff(bytes: ReadableStream<Uint8Array>, stat = false): Promise<void> {
  if (!stat && process.stdout.isTTY !== true) {
    for await (const piece of bytes) process.stdout.write(piece)
    return
  }
  const text = await new Response(bytes).text()
  process.stdout.write(
    stat ? statText(text) : `${text.replace(/\n$/, '').split('\n').map(shown).join('\n')}\n`,
  )
}

/** Makes a line safe to show: files may hold text that controls a terminal. */
const shown = (line: string): string => lineText(line.replaceAll('\t', '        '))

interface FileChange {
  path: string
  added: number
  removed: number
  binary: boolean
}

/** Returns the files that a git diff changes, in its order. */
export function changesIn(diff: string): FileChange[] {
  const changes: FileChange[] = []
  let file: FileChange | undefined
  /** Lines that are left in the hunk, on both sides: a line of a file may look like a header. */
  let [before, after] = [0, 0]
  for (const line of diff.split('\n')) {
    if (before > 0 || after > 0) {
      if (line.startsWith('\\')) continue
      if (!line.startsWith('+')) before--
      if (!line.startsWith('-')) after--
      if (line.startsWith('+')) file!.added++
      if (line.startsWith('-')) file!.removed++
      continue
    }
    const [, head] = /^diff --git (.*)$/.exec(line) ?? []
    if (head !== undefined) {
      file = { path: pathOf(head), added: 0, removed: 0, binary: false }
      changes.push(file)
      continue
    }
    const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line)
    if (file && hunk) [before, after] = [Number(hunk[1] ?? 1), Number(hunk[2] ?? 1)]
    else if (file && /^(Binary files |GIT binary patch)/.test(line)) file.binary = true
  }
  return changes
}

/** Returns the path in the header `a/x b/x`; the new one of a renamed file. */
function pathOf(head: string): string {
  const half = (head.length - 1) / 2
  const [left, right] = [head.slice(0, half), head.slice(half + 1)]
  if (left.slice(2) === right.slice(2)) return right.slice(2)
  return head.slice(head.lastIndexOf(' b/') + 3)
}

function statText(diff: string): string {
  const changes = changesIn(diff)
  const lines = changes.map(({ path, added, removed, binary }) =>
    binary ? `${lineText(path)} | binary` : `${lineText(path)} | +${added} -${removed}`,
  )
  const sum = (of: 'added' | 'removed') => changes.reduce((total, change) => total + change[of], 0)
  const total = `${changes.length} file${changes.length === 1 ? '' : 's'}, +${sum('added')} -${sum('removed')}`
  return `${[...lines, total].join('\n')}\n`
}
